// Asks the ground for the past, piece by piece, and checks every record of the answer.
import { talk } from '../api/account';
import { decodeReview, fields, list, lonLat, number, text, time } from '../api/decode';
import type { LonLat, Review } from '../api/types';

/** Places of one thing through a piece of time, oldest first. */
export interface Course {
  id: string;
  name: string;
  /** UNIX ms. */
  times: number[];
  at: LonLat[];
  /** Heading or course in degrees, or CE90 in metres for what was seen; null is not known. */
  value: (number | null)[];
  contactId: string | null;
  /** When people's word on it changed, and to what, oldest first; unreviewed before the first. */
  review: { atMs: number; state: Review }[];
}

export interface Seen {
  platformId: string;
  time: number;
  ring: LonLat[];
}

export interface Span {
  platforms: Course[];
  tracks: Course[];
  vessels: Course[];
  footprints: Seen[];
  isCut: boolean;
}

export interface Extent {
  firstMs: number | null;
  lastMs: number | null;
  activity: number[];
}

const MOST = 40_000;
const ms = (value: unknown): number | null => {
  const seconds = number(value, 0, 4_102_444_800);
  return seconds === null ? null : seconds * 1000;
};

function reviewSteps(raw: Record<string, unknown>): Course['review'] {
  const [times, states] = ['review_s', 'review'].map((key) => (Array.isArray(raw[key]) ? (raw[key] as unknown[]).slice(0, 1_000) : []));
  const steps: Course['review'] = [];
  times?.forEach((stamp, index) => {
    const atMs = ms(stamp);
    if (atMs !== null) steps.push({ atMs, state: decodeReview(states?.[index]) });
  });
  return steps;
}

function course(value: unknown, idKey: string, nameKey: string, valueKey: string): Course | null {
  const raw = fields(value);
  const id = text(raw?.[idKey], 140);
  const [times, at, values] = ['time_s', 'at', valueKey].map((key) => (Array.isArray(raw?.[key]) ? (raw[key] as unknown[]).slice(0, MOST) : []));
  if (!raw || id === null || !times || !at || !values) return null;
  const out: Course = { id, name: text(raw[nameKey], 64) ?? id, times: [], at: [], value: [], contactId: text(raw['contact_id'], 140), review: reviewSteps(raw) };
  times.forEach((stamp, index) => {
    const [when, place] = [ms(stamp), lonLat(at[index])];
    if (when === null || place === null) return;
    out.times.push(when);
    out.at.push(place);
    out.value.push(number(values[index], 0, 1e7));
  });
  return out.times.length > 0 ? out : null;
}

function seen(value: unknown): Seen | null {
  const raw = fields(value);
  const [platformId, when] = [text(raw?.['platform_id'], 140), ms(raw?.['time_s'])];
  const ring = list(raw?.['ring'], lonLat, 20);
  return platformId === null || when === null || ring.length < 4 ? null : { platformId, time: when, ring };
}

export async function fetchSpan(fromMs: number, toMs: number, box: readonly number[] | null): Promise<Span> {
  const stamp = (at: number): string => new Date(at).toISOString();
  const within = box ? `&bbox=${box.map((one) => one.toFixed(4)).join(',')}` : '';
  const raw = await talk('GET', `api/v1/past/span?since=${stamp(fromMs)}&until=${stamp(toMs)}${within}`);
  return {
    platforms: list(raw['platforms'], (one) => course(one, 'platform_id', 'platform_id', 'heading_deg'), 1_000),
    tracks: list(raw['tracks'], (one) => course(one, 'track_id', 'label', 'ce90_m'), 5_000),
    vessels: list(raw['vessels'], (one) => course(one, 'mmsi', 'name', 'course_deg'), 20_000),
    footprints: list(raw['footprints'], seen, 10_000),
    isCut: raw['is_cut'] === true,
  };
}

export async function fetchExtent(fromMs: number, toMs: number, bins: number): Promise<Extent> {
  const stamp = (at: number): string => new Date(at).toISOString();
  const raw = await talk('GET', `api/v1/past?since=${stamp(fromMs)}&until=${stamp(toMs)}&bins=${bins}`);
  const [first, last] = [time(raw['first']), time(raw['last'])];
  return {
    firstMs: first === null ? null : Date.parse(first),
    lastMs: last === null ? null : Date.parse(last),
    activity: list(raw['activity'], (one) => number(one, 0, 1e9), 500),
  };
}
