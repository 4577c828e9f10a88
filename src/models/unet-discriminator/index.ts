export {
  type UnetDiscriminatorConfig,
  unetDiscriminator,
  unetDiscriminatorConfig,
  unetDiscriminatorSchema,
} from './unet-discriminator.ts'
