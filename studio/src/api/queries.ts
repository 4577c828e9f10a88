import { QueryClient, queryOptions } from '@tanstack/react-query'
import { ApiError, ask } from './client.ts'
import type { DescribedModel, Job, Model } from './types.ts'

export const jobKeys = {
  recent: ['jobs', 'recent'] as const,
  queue: ['jobs', 'queue'] as const,
  gallery: ['jobs', 'gallery'] as const,
  one: (id: string) => ['job', id] as const,
}

export const createQueryClient = (): QueryClient =>
  new QueryClient({
    defaultOptions: {
      queries: {
        staleTime: 30_000,
        // What the server refuses, it refuses again; when it is back, all is asked anew.
        retry: (count, error) => !(error instanceof ApiError) && count < 2,
        networkMode: 'always',
      },
      mutations: { networkMode: 'always' },
    },
  })

export const modelsQuery = queryOptions({
  queryKey: ['models'],
  queryFn: () => ask<{ data: Model[]; default_model: string }>('/v1/models'),
})

export const modelQuery = (id: string) =>
  queryOptions({
    queryKey: ['models', id],
    queryFn: () => ask<DescribedModel>(`/v1/models/${encodeURI(id)}`),
    enabled: id !== '',
    staleTime: 300_000,
  })

export const samplersQuery = queryOptions({
  queryKey: ['samplers'],
  queryFn: async () => (await ask<{ name: string }[]>('/sdapi/v1/samplers')).map(({ name }) => name),
  staleTime: Number.POSITIVE_INFINITY,
})

export const recentQuery = queryOptions({
  queryKey: jobKeys.recent,
  queryFn: async (): Promise<readonly Job[]> => (await ask<{ data: Job[] }>('/v1/jobs?limit=100')).data,
})
