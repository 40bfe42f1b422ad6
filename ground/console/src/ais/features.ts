// Vessels on AIS, rings round silent contacts, and old sightings, as the map draws them: pure, GeoJSON out.
import type { Contact, LonLat } from '../api/types';
import { age } from '../format/time';
import { text } from '../text';
import type { Standing, Vessel, VesselTrack } from './api';

type Feature = GeoJSON.Feature;

const point = (id: string, at: LonLat, properties: GeoJSON.GeoJsonProperties): Feature => ({
  type: 'Feature',
  properties: { id, ...properties },
  geometry: { type: 'Point', coordinates: at },
});

/** Where it heads: its bow, or where it goes when it moves fast enough for that to say something. */
export function headingOf(vessel: Pick<Vessel, 'heading_deg' | 'course_deg' | 'speed_mps'>): number | null {
  if (vessel.heading_deg !== null) return vessel.heading_deg;
  return vessel.course_deg !== null && (vessel.speed_mps ?? 0) > 0.5 ? vessel.course_deg : null;
}

export function iconOf(vessel: Vessel): string {
  if (vessel.station === 'base' || vessel.station === 'aid') return 'ais-station';
  const base = headingOf(vessel) === null ? 'ais-still' : 'ais-vessel';
  return vessel.flags.length > 0 || vessel.doubts.length > 0 ? `${base}-flag` : base;
}

export function vesselFeature(vessel: Vessel, seconds: number, isStale: boolean): Feature | null {
  if (vessel.place === null) return null;
  const name = vessel.name ?? vessel.mmsi;
  return point(vessel.mmsi, vessel.place, {
    icon: iconOf(vessel),
    heading: headingOf(vessel) ?? 0,
    label: seconds < 60 ? name : `${name}\n${age(seconds)}`,
    stale: isStale,
    weight: vessel.flags.length,
  });
}

const rings = new WeakMap<Contact, Feature>();

/** Rings round contacts of which AIS says that nothing was heard and would have been; the same contact, the same feature. */
export function silentFeatures(contacts: ReadonlyMap<string, Contact>, standings: ReadonlyMap<string, Standing>): Map<string, Feature> {
  const out = new Map<string, Feature>();
  for (const [id, standing] of standings) {
    const contact = standing.verdict === 'silent' ? contacts.get(id) : undefined;
    if (!contact?.position) continue;
    let ring = rings.get(contact);
    if (!ring) rings.set(contact, (ring = point(id, [contact.position.longitude_deg, contact.position.latitude_deg], { contact: id })));
    out.set(id, ring);
  }
  return out;
}

/** Where a vessel was: a line for each transmitter under its number. */
export function trackFeatures(tracks: readonly VesselTrack[]): Feature[] {
  return tracks
    .filter((track) => track.places.length > 1)
    .map((track) => ({ type: 'Feature', properties: { id: `t${track.number}` }, geometry: { type: 'LineString', coordinates: track.places } }));
}

export interface Places {
  ids: string[];
  at: LonLat[];
}

export function placeFeatures(places: Places): Feature[] {
  return places.at.map((at, index) => point(places.ids[index] ?? String(index), at, {}));
}

/** What a screen reader hears, and the list shows. */
export const titleOf = (vessel: Pick<Vessel, 'name' | 'mmsi'>): string => vessel.name ?? `${text.watch.ais.mmsi} ${vessel.mmsi}`;
