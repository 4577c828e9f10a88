// One server process, and what clients make of it: OpenAI's, the Vercel AI SDK's, AUTOMATIC1111's, Hugging Face's, a studio's.
import './shared.ts'
import './openai.ts'
import './clients.ts'
