// What became of a name: contacts are joined, parted and renamed; and land through all visits.
import { talk } from './account';
import { count, fields, list, lonLat, number, text, time } from './decode';
import type { LonLat } from './types';

export interface ContactEvent {
  kind: 'merged' | 'split' | 'renamed';
  time: string;
  before: string[];
  after: string[];
}

export interface History {
  /** What the contact is called now; several when it was parted, none when nothing is known. */
  contactIds: string[];
  events: ContactEvent[];
}

const KINDS: readonly string[] = ['merged', 'split', 'renamed'];
const name = (value: unknown): string | null => text(value, 140);

function event(value: unknown): ContactEvent | null {
  const raw = fields(value);
  const at = time(raw?.['time']);
  const kind = raw?.['kind'];
  if (!raw || at === null || typeof kind !== 'string' || !KINDS.includes(kind)) return null;
  return { kind: kind as ContactEvent['kind'], time: at, before: list(raw['before'], name, 50), after: list(raw['after'], name, 50) };
}

export async function fetchHistory(contactId: string): Promise<History> {
  const raw = await talk('GET', `api/v1/contacts/${encodeURIComponent(contactId)}/history`);
  return { contactIds: list(raw['contact_ids'], name, 50), events: list(raw['events'], event, 100) };
}

export interface Visit {
  plotId: string;
  platformId: string;
  sortieId: string;
  time: string;
  area_m2: number | null;
  isComplete: boolean;
  change: string;
}

export interface Site {
  siteId: string;
  label: string;
  first: string;
  last: string;
  visits: Visit[];
}

function visit(value: unknown): Visit | null {
  const raw = fields(value);
  const plotId = name(raw?.['plot_id']);
  const at = time(raw?.['time']);
  if (!raw || plotId === null || at === null) return null;
  return {
    plotId,
    platformId: text(raw['platform_id'], 64) ?? '?',
    sortieId: text(raw['sortie_id'], 140) ?? '',
    time: at,
    area_m2: Array.isArray(raw['area_m2']) ? number(raw['area_m2'][0], 0) : null,
    isComplete: raw['is_complete'] === true,
    change: text(raw['change'], 20) ?? '',
  };
}

function site(value: unknown): Site | null {
  const raw = fields(value);
  const siteId = name(raw?.['site_id']);
  const [first, last] = [time(raw?.['first']), time(raw?.['last'])];
  if (!raw || siteId === null || first === null || last === null) return null;
  return { siteId, label: text(raw['label'], 64) ?? '?', first, last, visits: list(raw['visits'], visit, 200) };
}

export const fetchSites = async (): Promise<Site[]> => list((await talk('GET', 'api/v1/sites?limit=1000'))['items'], site, 1_000);

/** Where something has been seen inside a box, however long ago. */
export async function fetchPlaces(box: readonly number[], limit: number): Promise<{ ids: string[]; at: LonLat[] }> {
  const raw = await talk('GET', `api/v1/places?bbox=${box.map((one) => one.toFixed(4)).join(',')}&limit=${limit}`);
  const [ids, lons, lats] = ['sighting_ids', 'longitude_deg', 'latitude_deg'].map((key) => (Array.isArray(raw[key]) ? (raw[key] as unknown[]) : []));
  const out: { ids: string[]; at: LonLat[] } = { ids: [], at: [] };
  (lons ?? []).slice(0, limit).forEach((longitude, index) => {
    const at = lonLat([longitude, lats?.[index]]);
    const id = name(ids?.[index]);
    if (at === null || id === null) return;
    out.ids.push(id);
    out.at.push(at);
  });
  return out;
}

/** Where the object is in a chip: the chip's size and the box in it, in its pixels. */
export interface ChipBox {
  width: number;
  height: number;
  box: [number, number, number, number];
}

const boxes = new Map<string, Promise<ChipBox | null>>();
const MOST_BOXES = 500;

/** A chip never changes, so each is asked for once. */
export function fetchChipBox(chipId: string): Promise<ChipBox | null> {
  const known = boxes.get(chipId);
  if (known) return known;
  const asked = talk('GET', `api/v1/chips/${encodeURIComponent(chipId)}/box`)
    .then((raw) => {
      const [width, height] = [count(raw['width_px']), count(raw['height_px'])];
      const box = list(raw['box_in_chip_px'], (value) => number(value, -100_000, 100_000), 4);
      return width > 0 && height > 0 && box.length === 4 ? { width, height, box: box as ChipBox['box'] } : null;
    })
    .catch(() => {
      boxes.delete(chipId);
      return null;
    });
  boxes.set(chipId, asked);
  for (const old of [...boxes.keys()].slice(0, Math.max(0, boxes.size - MOST_BOXES))) boxes.delete(old);
  return asked;
}
