// What this station shares with partners: confirmed contacts, as GeoJSON.
import { talk } from './account';
import { fields, list, lonLat, number, text, time } from './decode';
import type { LonLat } from './types';

export interface SharedContact {
  contactId: string;
  label: string;
  lastSeen: string;
  place: LonLat | null;
  ce90_m: number | null;
}

function shared(value: unknown): SharedContact | null {
  const raw = fields(value);
  const said = fields(raw?.['properties']);
  const id = text(raw?.['id'], 140);
  const seen = time(said?.['last_seen']);
  if (!raw || !said || id === null || seen === null || said['review'] !== 'confirmed') return null;
  return {
    contactId: id,
    label: text(said['label'], 64) ?? '?',
    lastSeen: seen,
    place: lonLat(fields(raw['geometry'])?.['coordinates']),
    ce90_m: number(said['ce90_m'], 0),
  };
}

export const fetchShared = async (): Promise<SharedContact[]> =>
  list((await talk('GET', 'api/v1/shared/contacts?limit=500'))['features'], shared, 500);
