// Positions as people read, say and copy them.
import { mgrsText, utmText } from './grid';
import type { Written } from './reading';

/** In the order in which they are listed and taken in turn. */
export const NOTATIONS: readonly Written[] = ['decimal', 'dms', 'utm', 'mgrs'];

/** A place in one notation; where a grid does not reach, in degrees. */
export function written(notation: Written, latitude_deg: number, longitude_deg: number): string {
  if (notation === 'dms') return dms(latitude_deg, longitude_deg);
  if (notation === 'utm') return utmText(latitude_deg, longitude_deg) ?? decimal(latitude_deg, longitude_deg);
  if (notation === 'mgrs') return mgrsText(latitude_deg, longitude_deg) ?? decimal(latitude_deg, longitude_deg);
  return decimal(latitude_deg, longitude_deg);
}

/** Signed decimal degrees, latitude first, as every other tool reads them back. */
export function decimal(latitude_deg: number, longitude_deg: number): string {
  return `${latitude_deg.toFixed(6)}, ${longitude_deg.toFixed(6)}`;
}

function sexagesimal(value: number, width: number, positive: string, negative: string, digits: number): string {
  const scale = 10 ** digits;
  const units = Math.round(Math.abs(value) * 3600 * scale);
  const degrees = Math.floor(units / (3600 * scale));
  const minutes = Math.floor((units % (3600 * scale)) / (60 * scale));
  const seconds = (units % (60 * scale)) / scale;
  const pad = (part: number, size: number): string => String(part).padStart(size, '0');
  const shown = seconds.toFixed(digits).padStart(digits > 0 ? 3 + digits : 2, '0');
  return `${pad(degrees, width)}°${pad(minutes, 2)}′${shown}″${value < 0 ? negative : positive}`;
}

/** Degrees, minutes, seconds with a tenth (about 3 m): 35°21′46.9″S 149°09′51.6″E. */
export function dms(latitude_deg: number, longitude_deg: number): string {
  return `${sexagesimal(latitude_deg, 2, 'N', 'S', 1)} ${sexagesimal(longitude_deg, 3, 'E', 'W', 1)}`;
}

/** A graticule label with no more parts than its step needs: 35°S, 35°21′S, 35°21′30″S. */
export function gridLabel(value: number, step_deg: number, axis: 'latitude' | 'longitude'): string {
  const [positive, negative] = axis === 'latitude' ? ['N', 'S'] : ['E', 'W'];
  const wrapped = axis === 'longitude' ? ((((value + 180) % 360) + 360) % 360) - 180 : value;
  const digits = step_deg * 3600 < 0.999 ? 1 : 0;
  const scale = 10 ** digits;
  const units = Math.round(Math.abs(wrapped) * 3600 * scale);
  const degrees = Math.floor(units / (3600 * scale));
  const minutes = Math.floor((units % (3600 * scale)) / (60 * scale));
  const seconds = (units % (60 * scale)) / scale;
  const side = units === 0 ? '' : wrapped < 0 ? negative : positive;
  if (step_deg >= 0.9999) return `${degrees}°${side}`;
  const withMinutes = `${degrees}°${String(minutes).padStart(2, '0')}′`;
  if (step_deg >= 1 / 60.001) return `${withMinutes}${side}`;
  return `${withMinutes}${seconds.toFixed(digits).padStart(digits > 0 ? 4 : 2, '0')}″${side}`;
}
