// Lengths, bearings and areas on the ellipsoid WGS 84 (Karney, "Algorithms for geodesics", J. Geodesy 87, 2013).
import geographic from 'geographiclib-geodesic';
import type { LonLat } from '../api/types';

const EARTH = geographic.Geodesic.WGS84;

export interface Leg {
  distance_m: number;
  /** True north, clockwise, at the start of the leg. */
  bearing_deg: number;
}

export function leg(from: LonLat, to: LonLat): Leg {
  const found = EARTH.Inverse(from[1], from[0], to[1], to[0]);
  return { distance_m: found.s12 ?? 0, bearing_deg: ((found.azi1 ?? 0) + 360) % 360 };
}

export function wayLength(points: readonly LonLat[]): number {
  return points.slice(1).reduce((sum, to, index) => sum + leg(points[index] as LonLat, to).distance_m, 0);
}

/** Area and rim of the polygon through `points`, whichever way round it goes. */
export function surface(points: readonly LonLat[]): { area_m2: number; rim_m: number } {
  const polygon = EARTH.Polygon(false);
  for (const [longitude, latitude] of points) polygon.AddPoint(latitude, longitude);
  const found = polygon.Compute(false, true);
  return { area_m2: Math.abs(found.area ?? 0), rim_m: found.perimeter };
}

/** Points of the geodesic from one place to another, so that long legs bend on the map as they do on the ground. */
export function along(from: LonLat, to: LonLat): LonLat[] {
  const line = EARTH.InverseLine(from[1], from[0], to[1], to[0]);
  const steps = Math.max(1, Math.min(128, Math.ceil(line.s13 / 20_000)));
  let before = from[0];
  return Array.from({ length: steps + 1 }, (_, index) => {
    const point = line.Position((line.s13 * index) / steps);
    // Across 180 degrees the line goes on, it does not leap round the globe.
    let longitude = point.lon2 ?? 0;
    while (longitude - before > 180) longitude -= 360;
    while (longitude - before < -180) longitude += 360;
    before = longitude;
    return [longitude, point.lat2 ?? 0] as LonLat;
  });
}
