// The picture at a moment, out of pieces of the past: the last that was known of each thing by then. Pure.
import type { LonLat, Review } from '../api/types';
import type { Course, Seen, Span } from './api';

/** What was last known longer ago is not shown; what is older than the second time is shown faintly. */
export const GONE_MS = 600_000;
const STALE_MS = { platforms: 10_000, tracks: 30_000, vessels: 180_000 };
const SEEN_MS = 10_000;
const TRAIL_MS = 180_000;

export interface Thing {
  id: string;
  name: string;
  at: LonLat;
  value: number | null;
  ageMs: number;
  isStale: boolean;
  trail: LonLat[];
  /** What people had said of it by then. */
  review: Review;
}

export interface Moment {
  platforms: Thing[];
  contacts: Thing[];
  vessels: Thing[];
  footprints: Seen[];
}

/** How many of `times` (ascending) are not after `atMs`. */
export function countUntil(times: readonly number[], atMs: number): number {
  let [low, high] = [0, times.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((times[middle] as number) <= atMs) low = middle + 1;
    else high = middle;
  }
  return low;
}

function things(spans: readonly Span[], kind: 'platforms' | 'tracks' | 'vessels', atMs: number): Map<string, Thing> {
  const found = new Map<string, Thing>();
  for (const span of spans) {
    for (const course of span[kind]) {
      const key = course.contactId ?? course.id;
      const thing = thingOf(course, atMs, STALE_MS[kind]);
      if (!thing) continue;
      const known = found.get(key);
      if (known && known.ageMs <= thing.ageMs) continue;
      // A trail goes on across the border of two pieces; two tracks of one contact stay two.
      if (known && known.id === thing.id) thing.trail = [...known.trail, ...thing.trail];
      found.set(key, thing);
    }
  }
  return found;
}

function thingOf(course: Course, atMs: number, staleMs: number): Thing | null {
  const count = countUntil(course.times, atMs);
  const last = count - 1;
  if (last < 0) return null;
  const ageMs = atMs - (course.times[last] as number);
  if (ageMs > GONE_MS) return null;
  const from = countUntil(course.times, atMs - TRAIL_MS);
  return { id: course.id, name: course.name, at: course.at[last] as LonLat, value: course.value[last] ?? null, ageMs, isStale: ageMs > staleMs, trail: course.at.slice(from, count), review: course.review.findLast((step) => step.atMs <= atMs)?.state ?? 'unreviewed' };
}

/** What was known at `atMs`; `spans` oldest first. */
export function momentAt(spans: readonly Span[], atMs: number): Moment {
  const seen = new Map<string, Seen>();
  for (const span of spans) for (const one of span.footprints) if (one.time <= atMs && atMs - one.time <= SEEN_MS) seen.set(one.platformId, one);
  return {
    platforms: [...things(spans, 'platforms', atMs).values()],
    contacts: [...things(spans, 'tracks', atMs).values()],
    vessels: [...things(spans, 'vessels', atMs).values()],
    footprints: [...seen.values()],
  };
}
