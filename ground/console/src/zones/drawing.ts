// Drawing a zone: points in, a shape out. No map and no page here; degrees of longitude and latitude.
import type { LonLat } from '../api/types';
import { destination } from '../map/geometry';
import { isSurface, type ZoneKind } from './api';

export interface Drawn {
  kind: ZoneKind;
  points: LonLat[];
}

const EARTH_RADIUS_M = 6_371_008.8;
const RAD = Math.PI / 180;

export const fewest = (kind: ZoneKind): number => (isSurface(kind) ? 3 : 2);

/** A second click on the same spot, as of a double click, adds nothing. */
export function withPoint(points: readonly LonLat[], at: LonLat): LonLat[] {
  const last = points[points.length - 1];
  return last && Math.abs(last[0] - at[0]) < 1e-9 && Math.abs(last[1] - at[1]) < 1e-9 ? [...points] : [...points, at];
}

/** Great-circle distance on the sphere. */
export function between(one: LonLat, two: LonLat): number {
  const [lat1, lat2] = [one[1] * RAD, two[1] * RAD];
  const half = Math.sin((lat2 - lat1) / 2) ** 2 + Math.cos(lat1) * Math.cos(lat2) * Math.sin(((two[0] - one[0]) * RAD) / 2) ** 2;
  return 2 * EARTH_RADIUS_M * Math.asin(Math.min(1, Math.sqrt(half)));
}

export function length(points: readonly LonLat[], isClosed: boolean): number {
  let sum = 0;
  points.forEach((point, index) => {
    const next = points[index + 1] ?? (isClosed && points.length > 2 ? points[0] : undefined);
    if (next) sum += between(point, next);
  });
  return sum;
}

/** Area of a ring on the sphere (Chamberlain and Duquette 2007), in square metres. */
export function ringArea(points: readonly LonLat[]): number {
  if (points.length < 3) return 0;
  let sum = 0;
  points.forEach((one, index) => {
    const two = points[(index + 1) % points.length] as LonLat;
    const turn = ((((two[0] - one[0] + 540) % 360) + 360) % 360) - 180;
    sum += turn * RAD * (2 + Math.sin(one[1] * RAD) + Math.sin(two[1] * RAD));
  });
  return Math.abs((sum * EARTH_RADIUS_M * EARTH_RADIUS_M) / 2);
}

/** Whether two sides of a ring cross each other: such a ring has no inside that people would agree on. */
export function crossesItself(points: readonly LonLat[]): boolean {
  const count = points.length;
  for (let one = 0; one < count; one += 1) {
    for (let two = one + 2; two < count; two += 1) {
      if (one === 0 && two === count - 1) continue;
      if (cross(points[one] as LonLat, points[(one + 1) % count] as LonLat, points[two] as LonLat, points[(two + 1) % count] as LonLat)) return true;
    }
  }
  return false;
}

function cross(a: LonLat, b: LonLat, c: LonLat, d: LonLat): boolean {
  const side = (p: LonLat, q: LonLat, r: LonLat): number => Math.sign((q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0]));
  return side(a, b, c) * side(a, b, d) < 0 && side(c, d, a) * side(c, d, b) < 0;
}

export type Flaw = 'few' | 'crosses' | null;

export function flaw(drawn: Drawn): Flaw {
  const distinct = new Set(drawn.points.map((point) => point.join()));
  if (distinct.size < fewest(drawn.kind)) return 'few';
  return isSurface(drawn.kind) && crossesItself(drawn.points) ? 'crosses' : null;
}

export function shapeOf(drawn: Drawn): { polygons: LonLat[][][]; lines: LonLat[][] } {
  return isSurface(drawn.kind) ? { polygons: [[drawn.points]], lines: [] } : { polygons: [], lines: [drawn.points] };
}

/** The points of a zone that is one ring without holes, or one line; null for what only a file can make. */
export function pointsOf(shape: { polygons: LonLat[][][]; lines: LonLat[][] }): LonLat[] | null {
  const rings = shape.polygons.flat();
  const only = rings.length + shape.lines.length === 1 ? (rings[0] ?? shape.lines[0]) : undefined;
  if (!only) return null;
  const [first, last] = [only[0], only[only.length - 1]];
  return rings.length === 1 && only.length > 3 && first && last && first[0] === last[0] && first[1] === last[1] ? only.slice(0, -1) : [...only];
}

/** One point to a line, latitude first, as people write and copy them. */
export function asText(points: readonly LonLat[]): string {
  return points.map(([longitude, latitude]) => `${latitude.toFixed(6)}, ${longitude.toFixed(6)}`).join('\n');
}

/** The points of such lines; a number: the line that is none, counted from 1. */
export function fromText(written: string): LonLat[] | number {
  const points: LonLat[] = [];
  const lines = written.split('\n');
  for (const [index, line] of lines.entries()) {
    if (line.trim() === '') continue;
    const parts = line.trim().split(/[\s,;]+/).map((part) => Number(part.replace('\u2212', '-')));
    const [latitude, longitude] = parts;
    if (parts.length !== 2 || latitude === undefined || longitude === undefined) return index + 1;
    if (!Number.isFinite(latitude) || !Number.isFinite(longitude) || Math.abs(latitude) > 90 || Math.abs(longitude) > 180) return index + 1;
    points.push([longitude, latitude]);
  }
  return points;
}

/** A circle as a ring, for who wants "within so far of here". */
export function circle(centre: LonLat, radius_m: number, corners = 36): LonLat[] {
  return Array.from({ length: corners }, (_, index) => destination(centre, (index * 360) / corners, radius_m));
}
