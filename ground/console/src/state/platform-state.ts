// How a platform is doing, in one word: silence first, since what is not heard cannot be said to be well.
import type { HealthCondition, Platform } from '../api/types';
import { LOST_S, STALE_S } from './picture.svelte';

export type PlatformState = 'ok' | 'degraded' | 'failed' | 'stale' | 'lost';

const RANK = { failed: 0, degraded: 1, ok: 2 } as const;

/** Conditions with the worst first. */
export function worstFirst(health: HealthCondition[]): HealthCondition[] {
  return [...health].sort((a, b) => RANK[a.state] - RANK[b.state] || (a.component < b.component ? -1 : 1));
}

export function platformState(platform: Platform, age_s: number | null): PlatformState {
  if (age_s === null || age_s > LOST_S) return 'lost';
  if (age_s > STALE_S) return 'stale';
  return worstFirst(platform.health)[0]?.state ?? 'ok';
}
