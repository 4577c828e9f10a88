export {
  hingeLoss,
  type PatchDiscriminatorConfig,
  patchDiscriminator,
  patchDiscriminatorSchema,
} from './patch-discriminator.ts'
