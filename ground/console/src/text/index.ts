// The language of the page: what the person chose in this browser, else what the browser asks for. A third one is one more
// file of the same shape as en.ts, named here.
import { en } from './en';
import { es } from './es';

export type Texts = typeof en;
export type Language = 'en' | 'es';

const KEY = 'skywarden.language';
const TEXTS: Record<Language, Texts> = { en, es };
/** Each in its own words. */
export const LANGUAGES: [Language, string][] = [
  ['en', 'English'],
  ['es', 'Español'],
];

const isLanguage = (tag: string | null | undefined): tag is Language => tag === 'en' || tag === 'es';

function chosen(): Language {
  let kept: string | null = null;
  try {
    kept = globalThis.localStorage?.getItem(KEY) ?? null;
  } catch {
    // Private windows may refuse storage.
  }
  if (isLanguage(kept)) return kept;
  // Unit tests run without a browser.
  const wanted: readonly string[] = globalThis.navigator?.languages ?? [];
  return wanted.map((tag) => tag.slice(0, 2)).find(isLanguage) ?? 'en';
}

export const language: Language = chosen();
export const text: Texts = TEXTS[language];

/** Sentences are read once when the page loads, so it loads again. */
export function speak(wanted: Language): void {
  try {
    localStorage.setItem(KEY, wanted);
  } catch {
    return;
  }
  if (wanted !== language) location.reload();
}
