import { type CSSVariablesResolver, createTheme } from '@mantine/core'

export const theme = createTheme({
  respectReducedMotion: true,
  primaryColor: 'iris',
  primaryShade: { light: 7, dark: 7 },
  defaultRadius: 'md',
  cursorType: 'pointer',
  colors: {
    iris: ['#f0eeff', '#dedafc', '#bbb3f5', '#978af0', '#786aeb', '#6756e8', '#5d4be6', '#5140d0', '#4737ba', '#3b2da4'],
    dark: ['#e6e7ee', '#c6c9d6', '#a3a8ba', '#71768c', '#4c5166', '#373b4d', '#292c3b', '#1c1e2a', '#15171f', '#0d0e14'],
  },
})

/** Words in grey are dark enough to read: 4.5 to 1 against every background here. */
export const variables: CSSVariablesResolver = () => ({
  variables: {},
  light: {
    '--mantine-color-body': '#ffffff',
    '--mantine-color-dimmed': '#565b6e',
    '--mantine-color-placeholder': '#6b7080',
    '--mantine-color-error': '#c92a2a',
    '--studio-rail': '#f5f5fa',
    '--studio-well': '#f1f1f7',
    '--studio-line': '#dfe0ea',
  },
  dark: {
    '--mantine-color-body': '#15171f',
    '--mantine-color-dimmed': '#a3a8ba',
    '--mantine-color-placeholder': '#8f95a8',
    '--mantine-color-error': '#ff8787',
    '--studio-rail': '#101219',
    '--studio-well': '#0d0e14',
    '--studio-line': '#2b2e3d',
  },
})
