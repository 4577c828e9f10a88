import { infiniteQueryOptions, QueryClient, queryOptions } from '@tanstack/react-query'
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

const jobsIn = (states: string, limit: number) => async (): Promise<readonly Job[]> =>
  (await ask<{ data: Job[] }>(`/v1/jobs?state=${states}&limit=${limit}`)).data

/** Those that wait, in the order in which they will run. */
export const waitingQuery = queryOptions({ queryKey: [...jobKeys.queue, 'waiting'], queryFn: jobsIn('queued', 200) })

export const failedQuery = queryOptions({ queryKey: [...jobKeys.queue, 'failed'], queryFn: jobsIn('failed', 50) })

export const queueStateQuery = queryOptions({
  queryKey: [...jobKeys.queue, 'state'],
  queryFn: () => ask<{ paused: boolean; counts: Record<string, number> }>('/v1/queue'),
})

/** Jobs of a page of the gallery. */
export const PAGE = 100

/** All that was made, the newest first, a page at a time. */
export const galleryQuery = infiniteQueryOptions({
  queryKey: jobKeys.gallery,
  queryFn: async ({ pageParam }): Promise<readonly Job[]> =>
    (await ask<{ data: Job[] }>(`/v1/jobs?state=completed&limit=${PAGE}&offset=${pageParam}`)).data,
  initialPageParam: 0,
  getNextPageParam: (last, all) => (last.length < PAGE ? undefined : all.length * PAGE),
})
