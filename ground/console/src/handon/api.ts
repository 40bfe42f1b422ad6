// Asks the ground for files that leave: exports, reports, proposed flights; and says beforehand how much that is.
import { RefusedError, talk } from '../api/account';
import { address } from '../api/client';

export interface Taken {
  name: string;
  data: Blob;
  /** Layers of which not everything had room. */
  cut: string[];
}

/** A large export of a crowded station takes its time; the ground answers its first byte when the file is made. */
const LIMIT_MS = 300_000;
const FALLBACK_NAME = 'skywarden';
/** MAV_CMD_NAV_WAYPOINT to MAV_CMD_NAV_LAST: https://mavlink.io/en/messages/common.html */
const FIRST_NAV = 16;
const LAST_NAV = 95;

/** The name that the ground gives a file; nothing of a path is left in it. */
export function nameIn(disposition: string | null): string {
  const found = /filename="([^"]{1,200})"/.exec(disposition ?? '')?.[1] ?? FALLBACK_NAME;
  return found.replace(/[^\w.\-]/g, '_').replace(/^\.+/, '_');
}

/** Reads a file whole; `tell` hears how many bytes have come. Raises `RefusedError` with the ground's own sentence. */
export async function take(path: string, tell: (bytes: number) => void, stop: AbortSignal): Promise<Taken> {
  const response = await fetch(address(path), { cache: 'no-store', signal: AbortSignal.any([stop, AbortSignal.timeout(LIMIT_MS)]) });
  if (!response.ok || !response.body) {
    const found = (await response.json().catch(() => ({}))) as Record<string, unknown> | null;
    throw new RefusedError(typeof found?.['error'] === 'string' ? found['error'] : '', response.status, 0);
  }
  const parts: Uint8Array<ArrayBuffer>[] = [];
  let bytes = 0;
  const reader = response.body.getReader();
  for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
    parts.push(piece.value);
    bytes += piece.value.byteLength;
    tell(bytes);
  }
  const cut = response.headers.get('X-Skywarden-Cut');
  return {
    name: nameIn(response.headers.get('Content-Disposition')),
    data: new Blob(parts, { type: response.headers.get('Content-Type') ?? 'application/octet-stream' }),
    cut: cut === null ? [] : cut.split(', '),
  };
}

export interface Counts {
  confirmed: number;
  open: number;
  rejected: number;
}

/** How many contacts `terms` (of the list's own filters) match, by what people said of them. */
export async function count(terms: URLSearchParams): Promise<Counts> {
  const of = async (...states: string[]): Promise<number> => {
    const asked = new URLSearchParams(terms);
    asked.set('limit', '1');
    for (const state of states) asked.append('state', state);
    const found = await talk('GET', `api/v1/contacts?${asked}`);
    return typeof found['number_matched'] === 'number' ? found['number_matched'] : 0;
  };
  const [confirmed, open, rejected] = await Promise.all([of('confirmed'), of('unreviewed', 'more'), of('rejected')]);
  return { confirmed, open, rejected };
}

export interface Flight {
  title: string;
  notes: string[];
  /** Longitude, latitude of each point to fly to, in order. */
  way: [number, number][];
  speed_mps: number | null;
}

/** What a plan of QGroundControl says, as far as it is drawn and read here; null when it is none. */
export function readPlan(text: string): Flight | null {
  let tree: unknown;
  try {
    tree = JSON.parse(text);
  } catch {
    return null;
  }
  const part = (value: unknown, name: string): unknown => (typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[name] : undefined);
  const mission = part(tree, 'mission');
  const items = part(mission, 'items');
  if (!Array.isArray(items)) return null;
  const way: [number, number][] = [];
  for (const item of items) {
    // Only what is flown to: other commands have places too, such as the one that the camera is to look at.
    const command = part(item, 'command');
    if (typeof command !== 'number' || command < FIRST_NAV || command > LAST_NAV) continue;
    const given: unknown = part(item, 'params');
    const [latitude, longitude]: unknown[] = Array.isArray(given) ? [given[4], given[5]] : [];
    if (typeof latitude === 'number' && typeof longitude === 'number' && (latitude !== 0 || longitude !== 0)) way.push([longitude, latitude]);
  }
  const said = part(tree, 'skywarden');
  const title = part(said, 'title');
  const notes = part(said, 'notes');
  const speed = part(mission, 'cruiseSpeed');
  return {
    title: typeof title === 'string' ? title : '',
    notes: Array.isArray(notes) ? notes.filter((one): one is string => typeof one === 'string').slice(0, 20) : [],
    way,
    speed_mps: typeof speed === 'number' && speed > 0 ? speed : null,
  };
}

/** Puts a file where the browser keeps what it downloads. */
export function keep(taken: Taken): void {
  const link = document.createElement('a');
  const url = URL.createObjectURL(taken.data);
  link.href = url;
  link.download = taken.name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
