// What a measurement looks like on the map: geodesics with a label in the middle of each, corners, the face.
import type { LonLat } from '../api/types';
import { direction, distance } from '../format/quantity';
import { along, leg } from './geodesic';

const point = (at: LonLat, properties: GeoJSON.GeoJsonProperties): GeoJSON.Feature => ({ type: 'Feature', properties, geometry: { type: 'Point', coordinates: at } });

export function measureFeatures(points: readonly LonLat[], isClosed: boolean, pointer: LonLat | null, spot: LonLat | null): GeoJSON.Feature[] {
  const out: GeoJSON.Feature[] = [];
  const free = pointer !== null && !isClosed && points.length > 0 ? [pointer] : [];
  const way = [...points, ...(isClosed ? points.slice(0, 1) : free)];
  const ways = way.slice(1).map((to, index) => along(way[index] as LonLat, to));
  if (isClosed) out.push({ type: 'Feature', properties: {}, geometry: { type: 'Polygon', coordinates: [[...ways.flatMap((line) => line.slice(0, -1)), points[0] as LonLat]] } });
  ways.forEach((line, index) => {
    const found = leg(way[index] as LonLat, way[index + 1] as LonLat);
    out.push({ type: 'Feature', properties: { free: index >= points.length - 1 && !isClosed }, geometry: { type: 'LineString', coordinates: line } });
    out.push(point(line[Math.floor(line.length / 2)] && line.length > 2 ? (line[Math.floor(line.length / 2)] as LonLat) : middle(line), { label: `${distance(found.distance_m)}\n${direction(found.bearing_deg)}` }));
  });
  for (const at of points) out.push(point(at, { corner: true }));
  if (spot) out.push(point(spot, { spot: true }));
  return out;
}

function middle(line: LonLat[]): LonLat {
  const [from, to] = [line[0] as LonLat, line.at(-1) as LonLat];
  return [(from[0] + to[0]) / 2, (from[1] + to[1]) / 2];
}
