// Numbers as people read them: always with their unit, never with more digits than they are worth.
import { text } from '../text';

const MINUS = '\u2212';

/** A number with `digits` decimals and a true minus sign. */
export function fixed(value: number, digits: number): string {
  const shown = Math.abs(value).toFixed(digits);
  return value < 0 && Number(shown) !== 0 ? MINUS + shown : shown;
}

/** Metres below one kilometre, kilometres from there on. */
export function distance(metres: number): string {
  if (Math.abs(metres) < 9.95) return `${fixed(metres, 1)} m`;
  if (Math.abs(metres) < 1000) return `${fixed(metres, 0)} m`;
  return `${fixed(metres / 1000, Math.abs(metres) < 10_000 ? 2 : 1)} km`;
}

/** A direction from true north, three digits as navigators write it: 007°. */
export function direction(degrees: number): string {
  const rounded = Math.round(((degrees % 360) + 360) % 360) % 360;
  return `${String(rounded).padStart(3, '0')}°`;
}

/** Metres per second, and knots for those at sea. */
export function speed(mps: number): string {
  return `${fixed(mps, 1)} m/s \u00b7 ${fixed(mps * 1.943844, 1)} kn`;
}

export function bytes(value: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${fixed(value, unit === 0 || value >= 100 ? 0 : 1)} ${units[unit]}`;
}

/** A difference of clocks: milliseconds while that reads well, with its sign. */
export function difference(seconds: number): string {
  const size = Math.abs(seconds);
  const sign = seconds < 0 ? '\u2212' : '+';
  return size < 1 ? `${sign}${fixed(size * 1000, size < 0.01 ? 1 : 0)} ms` : `${sign}${fixed(size, size < 100 ? 2 : 0)} s`;
}

export function whole(value: number): string {
  return value.toLocaleString('en-GB').replaceAll(',', '\u202f');
}

/** A raw score in a word. It is what the detector said, not a probability. */
export function scoreWord(score: number): string {
  if (score < 0.3) return text.score.weak;
  if (score < 0.6) return text.score.fair;
  if (score < 0.85) return text.score.strong;
  return text.score.veryStrong;
}

export function score(value: number): string {
  return value.toFixed(2);
}
