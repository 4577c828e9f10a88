import type { Hono } from 'hono'
import type { DescribedModel } from '../../jobs/models/catalogue.ts'
import { optionsSchema } from '../../jobs/models/options.ts'
import type { Api, Env } from '../env.ts'
import { modelOf } from '../submit.ts'

/** OpenAI's `/v1/models`, and beside it what a form is made of: each model's options as a JSON schema. */
export function models(app: Hono<Env>, api: Api): void {
  app.get('/v1/models', async (c) => {
    const all = await api.service.catalogue.list((model, error) =>
      api.log.warn({ model: model.id, err: error }, 'model left out'),
    )
    const data = all.map((model) => (c.req.query('options') === 'true' ? detailed(model) : brief(model)))
    return c.json({ object: 'list', data, default_model: api.defaultModel })
  })
  // A name on the hub has a slash in it.
  app.get('/v1/models/:id{.+}', async (c) => c.json(detailed(await modelOf(api, c.req.param('id')))))
}

const brief = ({ id, created, className, output }: DescribedModel) => ({
  id,
  object: 'model' as const,
  created: Math.floor(created / 1000),
  owned_by: 'langevin',
  class_name: className,
  output,
})

const detailed = (model: DescribedModel) => ({ ...brief(model), options: optionsSchema(model.page) })
