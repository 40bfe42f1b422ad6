// What the ground says of the latest pictures: checked before anything is drawn.
import { talk } from '../api/account';
import { address } from '../api/client';
import { count, fields, list, lonLat, number, text, time } from '../api/decode';
import type { LonLat } from '../api/types';

export interface LookBox {
  /** Left, top, right, bottom as shares of the picture. */
  box: [number, number, number, number];
  label: string;
  score: number;
  trackId: string | null;
  contactId: string | null;
  isReviewed: boolean;
  isRejected: boolean;
}

export interface Look {
  platformId: string;
  sensorId: string;
  /** Sortie and frame: says which picture the boxes belong to. */
  frame: string;
  kind: 'eo' | 'thermal';
  url: string;
  width: number;
  height: number;
  takenMs: number;
  isTimeKnown: boolean;
  isLive: boolean;
  isExercise: boolean;
  boxes: LookBox[];
  detections: number;
  centre: LonLat | null;
  ce90: number | null;
  noPositionReason: string | null;
  positionDoubt: string | null;
}

export type LiveState = 'waiting' | 'accepted' | 'refused' | 'done' | 'expired';

export interface LiveRequest {
  taskingId: string;
  platformId: string;
  perSecond: number;
  askedMs: number;
  askedBy: string;
  expiresMs: number;
  state: LiveState;
  said: string;
}

const MOST_LOOKS = 400;
const MOST_BOXES = 64;
const STATES: readonly string[] = ['waiting', 'accepted', 'refused', 'done', 'expired'];

function decodeBox(item: unknown): LookBox | null {
  const raw = fields(item);
  const corners = Array.isArray(raw?.['box']) ? (raw['box'] as unknown[]).map((one) => number(one, 0, 1)) : [];
  const [left, top, right, bottom] = corners;
  const label = text(raw?.['label'], 64);
  if (!raw || left == null || top == null || right == null || bottom == null || left > right || top > bottom || label === null) return null;
  const review = raw['review'];
  return {
    box: [left, top, right, bottom],
    label,
    score: number(raw['score'], 0, 1) ?? 0,
    trackId: text(raw['track_id'], 160),
    contactId: text(raw['contact_id'], 160),
    isReviewed: review === 'confirmed' || review === 'rejected',
    isRejected: review === 'rejected',
  };
}

export function decodeLook(item: unknown): Look | null {
  const raw = fields(item);
  const platformId = text(raw?.['platform_id'], 128);
  const sensorId = text(raw?.['sensor_id'], 128);
  const url = text(raw?.['url'], 400);
  const taken = time(raw?.['taken']);
  const [width, height] = [number(raw?.['width_px'], 1, 4096), number(raw?.['height_px'], 1, 4096)];
  if (!raw || platformId === null || sensorId === null || taken === null || width === null || height === null) return null;
  if (url === null || !url.startsWith('/api/v1/platforms/')) return null;
  return {
    platformId,
    sensorId,
    frame: `${text(raw['sortie_id'], 160) ?? ''}/${count(raw['frame_number'])}`,
    kind: raw['kind'] === 'thermal' ? 'thermal' : 'eo',
    url,
    width,
    height,
    takenMs: Date.parse(taken),
    isTimeKnown: raw['is_time_known'] === true,
    isLive: raw['is_live'] === true,
    isExercise: raw['is_exercise'] === true,
    boxes: list(raw['boxes'], decodeBox, MOST_BOXES),
    detections: count(raw['detection_count']),
    centre: lonLat(raw['frame_centre']),
    ce90: number(raw['ce90_m'], 0),
    noPositionReason: text(raw['no_position_reason']),
    positionDoubt: text(raw['position_doubt']),
  };
}

export function decodeLive(item: unknown): LiveRequest | null {
  const raw = fields(item);
  const taskingId = text(raw?.['tasking_id'], 128);
  const platformId = text(raw?.['platform_id'], 128);
  const [asked, expires, state] = [time(raw?.['asked']), time(raw?.['expires']), raw?.['state']];
  if (!raw || taskingId === null || platformId === null || asked === null || expires === null) return null;
  if (typeof state !== 'string' || !STATES.includes(state)) return null;
  return {
    taskingId,
    platformId,
    perSecond: number(raw['frames_per_s'], 0, 10) ?? 1,
    askedMs: Date.parse(asked),
    askedBy: text(raw['asked_by'], 64) ?? '',
    expiresMs: Date.parse(expires),
    state: state as LiveState,
    said: text(raw['text']) ?? '',
  };
}

export async function fetchLooks(): Promise<{ looks: Look[]; live: LiveRequest[] }> {
  const found = await talk('GET', 'api/v1/looks');
  return { looks: list(found['items'], decodeLook, MOST_LOOKS), live: list(found['live'], decodeLive, 500) };
}

/** The picture itself and which frame it is; it may be newer than the look that named it. */
export async function fetchPicture(look: Look): Promise<{ blob: Blob; frame: string }> {
  const response = await fetch(address(look.url.slice(1)), { cache: 'no-store', signal: AbortSignal.timeout(15_000) });
  if (!response.ok) throw new Error(`the picture answered ${response.status}`);
  return { blob: await response.blob(), frame: response.headers.get('Skywarden-Frame') ?? '' };
}

/** `perSecond` 0 ends it. */
export const askLive = async (platformId: string, perSecond: number, seconds: number, token: string): Promise<void> =>
  void (await talk('POST', 'api/v1/taskings', { platform_id: platformId, kind: 'live_view', frames_per_s: perSecond, width_px: 640, lifetime_s: seconds }, token));
