export { readFilm } from './read.ts'
export { encodeFilm, type FilmFormat, filmEndings, filmFormatOf, type SaveFilmOptions, saveFilm } from './save.ts'
export { filmStrip } from './strip.ts'
export { readFilmText } from './text.ts'
