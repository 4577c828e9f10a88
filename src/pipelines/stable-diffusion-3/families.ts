/** What a run makes its picture of. */
export type Task = 'text-to-image' | 'image-to-image' | 'inpaint' | 'controlled' | 'controlled inpaint'

export interface Family {
  readonly task: Task
  readonly steps: number
  readonly strength?: number
}

/** diffusers' pipelines by class, with the defaults of their `__call__` (v0.42). One checkpoint does every task. */
export const families: Readonly<Record<string, Family>> = {
  StableDiffusion3Pipeline: { task: 'text-to-image', steps: 28 },
  StableDiffusion3Img2ImgPipeline: { task: 'image-to-image', steps: 50, strength: 0.6 },
  StableDiffusion3InpaintPipeline: { task: 'inpaint', steps: 50, strength: 0.6 },
  StableDiffusion3ControlNetPipeline: { task: 'controlled', steps: 28 },
  StableDiffusion3ControlNetInpaintingPipeline: { task: 'controlled inpaint', steps: 28 },
}

/** The class that does a task. */
export const classOf = (task: Task): [className: string, family: Family] =>
  Object.entries(families).find(([, family]) => family.task === task) as [string, Family]
