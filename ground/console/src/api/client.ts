// Asks the ground for JSON: same origin only, with a time limit, every record checked.
import { decodeContact, decodeLayer, decodePlatform, decodePlot, decodeSighting, decodeStatus, decodeTrack } from './decode';
import type { Contact, MapLayer, Platform, Plot, Sighting, StationStatus, Track } from './types';

const LIMIT_MS = 15_000;
const PAGE = 500;
const PAGES_AT_ONCE = 3;
const MOST_CONTACTS = 20_000;

/** Told when the ground wants to know anew who asks. */
let onRefused: () => void = () => undefined;

export function whenRefused(tell: () => void): void {
  onRefused = tell;
}

// Unit tests run without a page.
const BASE = new URL('.', globalThis.document?.baseURI ?? 'http://localhost/');
const ORIGIN = BASE.origin;

/** The full address of a path below the console's own folder. */
export function address(path: string): string {
  return new URL(path, BASE).href;
}

export function chipUrl(chipId: string): string {
  return address(`api/v1/chips/${encodeURIComponent(chipId)}`);
}

async function ask(path: string): Promise<Record<string, unknown>> {
  const response = await fetch(address(path), {
    headers: { Accept: 'application/json' },
    signal: AbortSignal.timeout(LIMIT_MS),
  });
  if (response.status === 401 || response.status === 403) onRefused();
  if (!response.ok) throw new Error(`${path} answered ${response.status}`);
  const body: unknown = await response.json();
  if (typeof body !== 'object' || body === null) throw new Error(`${path} answered with no object`);
  return body as Record<string, unknown>;
}

export interface Snapshot {
  status: StationStatus;
  platforms: Platform[];
  contacts: Contact[];
  tracks: Track[];
  /** Records that could not be understood and are therefore not on the picture. */
  refused: number;
}

/** Reads items with `decode` and says how many were refused. */
function readItems<T>(body: Record<string, unknown>, decode: (item: unknown) => T | null): [T[], number] {
  const raw = Array.isArray(body['items']) ? (body['items'] as unknown[]) : [];
  const items = raw.map(decode).filter((item): item is T => item !== null);
  return [items, raw.length - items.length];
}

/** Pages of all contacts, a few at once. What moved between two pages meanwhile comes again by the live feed. */
async function fetchContacts(early: (contacts: Contact[]) => void): Promise<[Contact[], number]> {
  const contacts = new Map<string, Contact>();
  let refused = 0;
  const take = async (offset: number): Promise<number> => {
    const body = await ask(`api/v1/contacts?limit=${PAGE}&offset=${offset}`);
    const [items, bad] = readItems(body, decodeContact);
    for (const item of items) contacts.set(item.contact_id, item);
    refused += bad;
    return typeof body['number_matched'] === 'number' ? Math.min(body['number_matched'], MOST_CONTACTS) : 0;
  };
  const matched = await take(0);
  if (matched > PAGE) early([...contacts.values()]);
  let next = PAGE;
  const worker = async (): Promise<void> => {
    for (; next < matched; ) {
      const offset = next;
      next += PAGE;
      await take(offset);
    }
  };
  await Promise.all(Array.from({ length: PAGES_AT_ONCE }, worker));
  return [[...contacts.values()], refused];
}

/**
 * Everything that is now. The status is asked first: the live feed then resumes from a revision not newer than the rest.
 * `early` is handed the newest contacts while the others are on the way.
 */
export async function fetchSnapshot(early: (contacts: Contact[]) => void = () => undefined): Promise<Snapshot> {
  const status = decodeStatus(await ask('api/v1/status'));
  if (!status) throw new Error('the ground sent a status without a clock');
  const [platformBody, [contacts, badContacts], trackBody] = await Promise.all([
    ask('api/v1/platforms'),
    fetchContacts(early),
    ask('api/v1/tracks'),
  ]);
  const arrived = performance.now();
  const [platforms, badPlatforms] = readItems(platformBody, (item) => decodePlatform(item, arrived));
  const [tracks, badTracks] = readItems(trackBody, (item) => decodeTrack(item, arrived));
  return { status, platforms, contacts, tracks, refused: badContacts + badPlatforms + badTracks };
}

export async function fetchLayers(): Promise<MapLayer[]> {
  const [layers] = readItems(await ask('api/v1/layers'), (item) => decodeLayer(item, ORIGIN));
  // A name is an id on the map, where a second one of the same kind and name would be an error.
  const named = layers.map((layer) => ({ ...layer, name: `${layer.kind}/${layer.name}` }));
  return [...new Map(named.map((layer) => [layer.name, layer])).values()];
}

/** Plots as they are known by now, the newest 1,000. */
export async function fetchPlots(): Promise<Plot[]> {
  const body = await ask('api/v1/plots?limit=1000');
  return readItems({ items: body['features'] }, decodePlot)[0];
}

/** One contact with its newest sightings (at most 200). */
export async function fetchContact(contactId: string): Promise<{ contact: Contact | null; sightings: Sighting[] }> {
  const body = await ask(`api/v1/contacts/${encodeURIComponent(contactId)}`);
  const [sightings] = readItems({ items: body['sightings'] }, decodeSighting);
  return { contact: decodeContact(body), sightings };
}
