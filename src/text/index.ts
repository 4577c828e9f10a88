export { type BytePairDropout, type BytePairs, bytePairEncoder, saveTokenizer, trainBytePairs } from './bpe.ts'
export { cleanCaption, plainCaption, unescapeText } from './caption.ts'
export { type Chunk, chunkPrompt, equalChunks, tokensOf, type WeightMode, weighStates } from './chunks.ts'
export { type CompelItem, type CompelPrompt, combineStates, compelStates, type MaskedChunk, parseCompel } from './compel.ts'
export { type PromptNode, parseEditing, promptAt, splitAnd } from './editing.ts'
export { type PromptLora, type PromptPart, type PromptSyntax, parsePrompt, takeLoras } from './emphasis.ts'
export { maxPrompt, PromptError } from './errors.ts'
export { GlideTokenizer, mergesIn } from './glide-tokenizer.ts'
export { addInversions, bundledInversions, InversionError, readInversion, type TextualInversion } from './inversion.ts'
export { LanguageTokenizer } from './language-tokenizer.ts'
export {
  bytesOfTokens,
  endOfDocument,
  type LanguageVocabulary,
  languageEncoder,
  saveLanguageTokenizer,
  trainLanguageVocabulary,
} from './language-training.ts'
export { type PlanOptions, type PromptBranch, type PromptPlan, planPrompt, promptStretches } from './plan.ts'
export { referencesIn, withReferences } from './references.ts'
export { type FramedText, T5Tokenizer } from './t5-tokenizer.ts'
export { saveT5Tokenizer, sentinel } from './t5-tokenizer-saving.ts'
export type { ScoredPiece } from './t5-tokenizer-unigram.ts'
export { ClipTokenizer } from './tokenizer.ts'
export { trainUnigram } from './unigram-training.ts'
export { expandWildcards, type Wildcards, wildcardLines } from './wildcards.ts'
