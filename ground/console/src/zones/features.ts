// Zones as the map draws them: pure, GeoJSON out.
import type { LonLat } from '../api/types';
import { destination, grow, type Box } from '../map/geometry';
import { text } from '../text';
import { isSurface, type Zone, type ZoneKind } from './api';
import { fewest } from './drawing';

type Feature = GeoJSON.Feature;

/** Metres per pixel at zoom 0 on the equator, for tiles of 512 pixels. */
const METRES_PER_PX = 78_271.517;

const closed = (ring: LonLat[]): LonLat[] => {
  const [first, last] = [ring[0], ring[ring.length - 1]];
  return first && last && (first[0] !== last[0] || first[1] !== last[1]) ? [...ring, first] : ring;
};

/** A line over the antimeridian goes on beyond 180 degrees, so that it does not cross the whole map. */
export function unrolled(points: readonly LonLat[]): LonLat[] {
  const out: LonLat[] = [];
  for (const [longitude, latitude] of points) {
    const before = out[out.length - 1];
    const turns = before ? Math.round((before[0] - longitude) / 360) : 0;
    out.push([longitude + 360 * turns, latitude]);
  }
  return out;
}

/** How wide a corridor is in pixels at zoom 0 where it lies; it doubles with each zoom. */
export function widthAtZoom0(width_m: number, latitude_deg: number): number {
  return width_m / (METRES_PER_PX * Math.max(0.01, Math.cos((latitude_deg * Math.PI) / 180)));
}

export function zoneFeature(zone: Pick<Zone, 'zone_id' | 'name' | 'kind' | 'polygons' | 'lines' | 'width_m'>): Feature {
  const properties = {
    id: zone.zone_id,
    kind: zone.kind,
    label: `${zone.name}\n${text.watch.zones.kinds[zone.kind]}`,
    wide: zone.kind === 'corridor' ? widthAtZoom0(zone.width_m, zone.lines[0]?.[0]?.[1] ?? 0) : 0,
  };
  const geometry: GeoJSON.Geometry = isSurface(zone.kind)
    ? { type: 'MultiPolygon', coordinates: zone.polygons.map((polygon) => polygon.map((ring) => unrolled(closed(ring)))) }
    : { type: 'MultiLineString', coordinates: zone.lines.map((line) => unrolled(line)) };
  return { type: 'Feature', properties, geometry };
}

/** What is being drawn: its shape so far with the pointer as the next corner, and its corners as handles. */
export function draftFeatures(kind: ZoneKind, points: readonly LonLat[], width_m: number, pointer: LonLat | null): Feature[] {
  const all = unrolled(pointer ? [...points, pointer] : points);
  const out: Feature[] = [];
  const wide = kind === 'corridor' && all[0] ? widthAtZoom0(width_m, all[0][1]) : 0;
  if (isSurface(kind) && all.length >= fewest(kind)) {
    out.push({ type: 'Feature', properties: { id: 'draft', kind }, geometry: { type: 'Polygon', coordinates: [closed(all)] } });
  }
  if (all.length > 1) {
    const shown = isSurface(kind) ? closed(all) : all;
    out.push({ type: 'Feature', properties: { id: 'draft-line', kind, wide }, geometry: { type: 'LineString', coordinates: shown } });
  }
  unrolled(points).forEach((at, index) => {
    out.push({ type: 'Feature', properties: { id: `corner-${index}`, corner: index, first: index === 0 }, geometry: { type: 'Point', coordinates: at } });
  });
  return out;
}

/** The box that a zone lies in; null for one without points. */
export function boxOf(zone: Pick<Zone, 'polygons' | 'lines' | 'width_m'>): Box | null {
  let box: Box | null = null;
  const half = zone.width_m / 2;
  for (const line of [...zone.polygons.flat(), ...zone.lines]) {
    for (const point of unrolled(line)) {
      box = grow(box, point);
      if (half > 0) for (const azimuth of [45, 225]) box = grow(box, destination(point, azimuth, half * Math.SQRT2));
    }
  }
  return box;
}
