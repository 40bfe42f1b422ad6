// Lines and areas in real metres on the ground, as GeoJSON coordinates.
import type { Bearing, Ellipse, LonLat } from '../api/types';

const EARTH_RADIUS_M = 6_371_008.8;
const RAD = Math.PI / 180;

/** Where one arrives from `from` after `distance_m` in direction `azimuth_deg` on the sphere (error below 0.6 %). */
export function destination(from: LonLat, azimuth_deg: number, distance_m: number): LonLat {
  const angle = distance_m / EARTH_RADIUS_M;
  const latitude = from[1] * RAD;
  const azimuth = azimuth_deg * RAD;
  const sine = Math.sin(latitude) * Math.cos(angle) + Math.cos(latitude) * Math.sin(angle) * Math.cos(azimuth);
  const turn = Math.atan2(
    Math.sin(azimuth) * Math.sin(angle) * Math.cos(latitude),
    Math.cos(angle) - Math.sin(latitude) * sine,
  );
  return [from[0] + turn / RAD, Math.asin(Math.max(-1, Math.min(1, sine))) / RAD];
}

/** The outline of an ellipse: half axes in metres, azimuth of the major axis clockwise from north; closed. */
export function ellipseRing(centre: LonLat, ellipse: Ellipse, points = 48): LonLat[] {
  const turn = ellipse.azimuth_deg * RAD;
  const ring: LonLat[] = [];
  for (let index = 0; index <= points; index += 1) {
    const angle = ((index % points) / points) * 2 * Math.PI;
    const along = ellipse.semi_major_m * Math.cos(angle);
    const across = ellipse.semi_minor_m * Math.sin(angle);
    const north = along * Math.cos(turn) - across * Math.sin(turn);
    const east = along * Math.sin(turn) + across * Math.cos(turn);
    ring.push(destination(centre, Math.atan2(east, north) / RAD, Math.hypot(east, north)));
  }
  return ring;
}

/** Half width of a bearing's 90 % sector for its standard deviation (two-sided normal). */
export const SIGMAS_90 = 1.645;

/** The sector of a bearing between two distances; it never claims where along it the thing is. */
export function wedgeRing(bearing: Bearing, from: LonLat, near_m: number, far_m: number): LonLat[] {
  const half = Math.max(0.4, Math.min(90, bearing.sigma_deg * SIGMAS_90));
  const steps = Math.max(2, Math.ceil(half / 2));
  const arc = (distance: number, sign: number): LonLat[] =>
    Array.from({ length: steps * 2 + 1 }, (_, index) =>
      destination(from, bearing.azimuth_deg + (sign * half * (index - steps)) / steps, distance),
    );
  const inner = near_m > 0 ? arc(near_m, -1) : [from];
  const ring = [...arc(far_m, 1), ...inner];
  return [...ring, ring[0] as LonLat];
}

/** The two sides of a bearing's sector out to `far_m`: open at the end, because the distance is not known. */
export function wedgeSides(bearing: Bearing, from: LonLat, far_m: number): [LonLat[], LonLat[]] {
  const ring = wedgeRing(bearing, from, 0, far_m);
  const arc = ring.slice(0, -2);
  return [
    [from, arc[0] as LonLat],
    [from, arc[arc.length - 1] as LonLat],
  ];
}

/** Least longitude, least latitude, greatest longitude, greatest latitude. */
export type Box = [number, number, number, number];

/** Whether the second box lies within the first. */
export function holds(outer: Box, inner: Box): boolean {
  return outer[0] <= inner[0] && outer[1] <= inner[1] && outer[2] >= inner[2] && outer[3] >= inner[3];
}

export function grow(box: Box | null, point: LonLat): Box {
  if (!box) return [point[0], point[1], point[0], point[1]];
  return [
    Math.min(box[0], point[0]),
    Math.min(box[1], point[1]),
    Math.max(box[2], point[0]),
    Math.max(box[3], point[1]),
  ];
}
