// Asks a platform for something through the ground, and reads what became of it.
import { talk } from './account';

export type TaskingState = 'waiting' | 'accepted' | 'refused' | 'done' | 'expired';

export interface Tasking {
  taskingId: string;
  sightingId: string | null;
  kind: string;
  state: TaskingState;
  /** What the platform said, in its own words. */
  said: string;
  askedBy: string;
  /** The picture that answers it, once it is on the ground. */
  pictureId: string | null;
}

const STATES: readonly string[] = ['waiting', 'accepted', 'refused', 'done', 'expired'];

export function decodeTasking(found: unknown): Tasking | null {
  if (typeof found !== 'object' || found === null) return null;
  const row = found as Record<string, unknown>;
  const { tasking_id: taskingId, sighting_id: sightingId, kind, state, text: said, asked_by: askedBy, picture_id: pictureId } = row;
  if (typeof taskingId !== 'string' || typeof kind !== 'string' || typeof state !== 'string' || !STATES.includes(state)) return null;
  return {
    taskingId,
    kind,
    state: state as TaskingState,
    sightingId: typeof sightingId === 'string' ? sightingId : null,
    said: typeof said === 'string' ? said : '',
    askedBy: typeof askedBy === 'string' ? askedBy : '',
    pictureId: typeof pictureId === 'string' ? pictureId : null,
  };
}

function sure(found: unknown): Tasking {
  const tasking = decodeTasking(found);
  if (!tasking) throw new Error('the ground sent a request that cannot be read');
  return tasking;
}

/** What else a platform can be asked for; `area` are corners [lon, lat]. */
export type Wish =
  | { kind: 'follow'; sighting_id: string }
  | { kind: 'mute_area'; area: [number, number][] }
  | { kind: 'threshold'; label: string; score: number };

export const askPlatform = async (platformId: string, wish: Wish, token: string): Promise<Tasking> =>
  sure(await talk('POST', 'api/v1/taskings', { platform_id: platformId, ...wish }, token));

/** The source's own pixels round a sighting. */
export const askFullResolution = async (platformId: string, sightingId: string, token: string): Promise<Tasking> =>
  sure(await talk('POST', 'api/v1/taskings', { platform_id: platformId, kind: 'full_resolution', sighting_id: sightingId }, token));

export const fetchTasking = async (taskingId: string): Promise<Tasking> =>
  sure(await talk('GET', `api/v1/taskings/${encodeURIComponent(taskingId)}`));

/** The newest requests for a platform's pictures of these sightings. */
export async function fetchTaskings(platformId: string): Promise<Tasking[]> {
  const found = await talk('GET', `api/v1/taskings?platform_id=${encodeURIComponent(platformId)}`);
  const raw = Array.isArray(found['items']) ? (found['items'] as unknown[]) : [];
  return raw.map(decodeTasking).filter((one): one is Tasking => one !== null);
}
