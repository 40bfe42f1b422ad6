// The graticule: how far apart its lines are, where they run, which labels stand at the edge of the map.
const STEPS_DEG = [
  30, 20, 10, 5, 2, 1, 30 / 60, 20 / 60, 10 / 60, 5 / 60, 2 / 60, 1 / 60, 30 / 3600, 20 / 3600, 10 / 3600, 5 / 3600,
  2 / 3600, 1 / 3600, 0.5 / 3600, 0.2 / 3600, 0.1 / 3600,
];

/** The finest step whose lines stay at least `least` degrees apart. */
export function stepFor(least: number): number {
  let best = STEPS_DEG[0] as number;
  for (const step of STEPS_DEG) if (step >= least) best = step;
  return best;
}

/** All multiples of `step` from `low` to `high`, at most `limit`. */
export function multiples(low: number, high: number, step: number, limit = 60): number[] {
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.min(Math.floor(high / step + 1e-9), first + limit - 1);
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, index) => (first + index) * step);
}

export interface Extent {
  west: number;
  south: number;
  east: number;
  north: number;
}

/** Meridians and parallels over `extent`, drawn a little beyond it so that moving the map shows no gap. */
export function graticuleLines(extent: Extent, step: number): GeoJSON.Feature {
  const width = extent.east - extent.west;
  const height = extent.north - extent.south;
  const west = extent.west - width;
  const east = extent.east + width;
  const south = Math.max(-85, extent.south - height);
  const north = Math.min(85, extent.north + height);
  const lines = [
    ...multiples(west, east, step, 120).map((lon) => [
      [lon, south],
      [lon, north],
    ]),
    ...multiples(south, north, step, 120).map((lat) => [
      [west, lat],
      [east, lat],
    ]),
  ];
  return { type: 'Feature', properties: {}, geometry: { type: 'MultiLineString', coordinates: lines } };
}

/** A round length (1, 2, 5 times a power of ten) of at most `most` metres, for the scale bar. */
export function scaleLength(most: number): number {
  const power = 10 ** Math.floor(Math.log10(most));
  const lead = most / power;
  return (lead >= 5 ? 5 : lead >= 2 ? 2 : 1) * power;
}
