// Reads a place as people write it: decimal degrees, degrees and minutes, degrees minutes seconds, UTM, MGRS.
import { isInBand, placeOfMgrs, placeOfUtm } from './grid';

export type Written = 'decimal' | 'dms' | 'utm' | 'mgrs';

export interface Place {
  latitude_deg: number;
  longitude_deg: number;
  as: Written;
}

const LONGEST = 80;

function place(latitude_deg: number, longitude_deg: number, as: Written): Place | null {
  const isThere = Math.abs(latitude_deg) <= 90 && Math.abs(longitude_deg) <= 180;
  return isThere ? { latitude_deg, longitude_deg, as } : null;
}

function readUtm(text: string): Place | null {
  const found = /^(\d{1,2})\s*([C-HJ-NP-X])\s+(\d{6}(?:\.\d+)?)\s*(?:M?E)?[\s,]+(\d{1,8}(?:\.\d+)?)\s*(?:M?N)?$/.exec(text);
  if (!found) return null;
  const [zone, letter, easting, northing] = [Number(found[1]), found[2] ?? '', Number(found[3]), Number(found[4])];
  if (zone < 1 || zone > 60 || easting < 100_000 || easting > 900_000 || northing > 10_000_000) return null;
  const byBand = placeOfUtm(zone, letter < 'N', easting, northing);
  if (isInBand(letter, byBand[0])) return place(byBand[0], byBand[1], 'utm');
  // Some write N or S for the half of the globe instead.
  if (letter !== 'N' && letter !== 'S') return null;
  const [latitude, longitude] = placeOfUtm(zone, letter === 'S', easting, northing);
  return place(latitude, longitude, 'utm');
}

interface Angle {
  value: number;
  side: string;
  parts: number;
}

/** One angle of one to three numbers, a side before or behind it; null when it is none. */
function angle(text: string): Angle | null {
  const found = /^([NSEWO]?)\s*([+-]?)\s*(\d{1,3}(?:\.\d+)?)\s*[°D]?\s*(?:(\d{1,2}(?:\.\d+)?)\s*['′M]?\s*(?:(\d{1,2}(?:\.\d+)?)\s*(?:"|″|'')?)?)?\s*([NSEWO]?)$/.exec(text.trim());
  if (!found || (found[1] && found[6]) || (found[2] && (found[1] || found[6]))) return null;
  const [degrees, minutes, seconds] = [Number(found[3]), Number(found[4] ?? 0), Number(found[5] ?? 0)];
  const isWhole = (part: string | undefined): boolean => !part?.includes('.');
  if (minutes >= 60 || seconds >= 60 || (found[4] && !isWhole(found[3])) || (found[5] && !isWhole(found[4]))) return null;
  const side = (found[1] || found[6] || '').replace('O', 'W');
  const sign = found[2] === '-' || side === 'S' || side === 'W' ? -1 : 1;
  return { value: sign * (degrees + minutes / 60 + seconds / 3600), side, parts: found[5] ? 3 : found[4] ? 2 : 1 };
}

/** Every way in which a line can be cut into two angles. */
function cuts(text: string): [string, string][] {
  const separated = text.split(/[;/]|,(?=\s)|,(?=\s*[+-]?\d{1,3}\.)/);
  if (separated.length === 2) return [[separated[0] ?? '', separated[1] ?? '']];
  if (/^[^,]*,[^,]*$/.test(text) && /\d\s*[NSEWO°'"′″]?\s*,/.test(text) && !/^\S+,\S+\s/.test(text)) {
    const [first = '', second = ''] = text.split(',');
    return [[first, second]];
  }
  const lettered = /^[NSEWO]/.test(text) ? /^([NSEWO][^NSEWO]*)([NSEWO].*)$/.exec(text) : /^([^NSEWO]*[NSEWO])\s*(.+)$/.exec(text);
  if (lettered) return [[lettered[1] ?? '', lettered[2] ?? '']];
  const words = text.trim().split(/\s+/);
  if (words.length % 2 !== 0) return [];
  return [[words.slice(0, words.length / 2).join(' '), words.slice(words.length / 2).join(' ')]];
}

function readAngles(text: string): Place | null {
  for (const [first, second] of cuts(text)) {
    const [one, two] = [angle(first.replace(/(\d),(\d)/g, '$1.$2')), angle(second.replace(/(\d),(\d)/g, '$1.$2'))];
    if (!one || !two || one.parts !== two.parts || (one.side === '') !== (two.side === '')) continue;
    const isTurned = one.side === 'E' || one.side === 'W';
    const [latitude, longitude] = isTurned ? [two, one] : [one, two];
    if (latitude.side === 'E' || latitude.side === 'W' || longitude.side === 'N' || longitude.side === 'S') continue;
    return place(latitude.value, longitude.value, one.parts === 1 ? 'decimal' : 'dms');
  }
  return null;
}

/** The place that a line names; null when it names none, or more than one thing could be meant. */
export function readPlace(line: string): Place | null {
  if (line.length > LONGEST) return null;
  const text = line.trim().toUpperCase().replaceAll('º', '°').replaceAll('−', '-').replaceAll('’', '′').replaceAll('”', '″').replace(/\s+/g, ' ');
  if (text === '') return null;
  const square = placeOfMgrs(text);
  if (square) return place(square[0], square[1], 'mgrs');
  return readUtm(text) ?? readAngles(text);
}
