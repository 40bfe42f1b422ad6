import assert from 'node:assert/strict';
import { test } from 'node:test';
import { destination, ellipseRing, wedgeRing, wedgeSides } from '../src/map/geometry';
import { multiples, scaleLength, stepFor } from '../src/map/graticule';
import type { LonLat } from '../src/api/types';

const M_PER_DEG = 111_195;
const HOME: LonLat = [149.164328, -35.363026];

function metres(from: LonLat, to: LonLat): [number, number] {
  return [(to[0] - from[0]) * M_PER_DEG * Math.cos((from[1] * Math.PI) / 180), (to[1] - from[1]) * M_PER_DEG];
}

test('east, north and the distance come out in metres', () => {
  const [east, north] = metres(HOME, destination(HOME, 30, 1000));
  assert.ok(Math.abs(east - 500) < 0.5 && Math.abs(north - 866.03) < 0.5, `${east}, ${north}`);
});

test('an ellipse reaches its major axis along its azimuth and its minor axis across', () => {
  const ring = ellipseRing(HOME, { semi_major_m: 40, semi_minor_m: 10, azimuth_deg: 90 }, 48);
  assert.deepEqual(ring[0], ring[48]);
  const reach = ring.map((point) => metres(HOME, point));
  assert.ok(Math.abs(Math.max(...reach.map(([east]) => east)) - 40) < 0.05);
  assert.ok(Math.abs(Math.max(...reach.map(([, north]) => north)) - 10) < 0.05);
});

test('a wedge is closed, as wide as the 90 % of its bearing, and its sides are open', () => {
  const bearing = { azimuth_deg: 0, elevation_deg: -1, sigma_deg: 10, from: HOME };
  const ring = wedgeRing(bearing, HOME, 0, 1000);
  assert.deepEqual(ring[0], ring[ring.length - 1]);
  for (const [, end] of wedgeSides(bearing, HOME, 1000)) {
    const [east, north] = metres(HOME, end as LonLat);
    assert.ok(Math.abs(Math.abs((Math.atan2(east, north) * 180) / Math.PI) - 16.45) < 0.05);
  }
});

test('the graticule takes the finest round step that keeps its lines apart', () => {
  assert.ok(Math.abs(stepFor(0.004) - 20 / 3600) < 1e-12);
  assert.equal(stepFor(90), 30);
  assert.deepEqual(multiples(-1, 2, 1), [-1, 0, 1, 2]);
  assert.equal(multiples(0, 1e6, 1).length, 60);
});

test('the scale bar has a round length', () => {
  assert.deepEqual([999, 200.1, 4.9, 0.72].map(scaleLength), [500, 200, 2, 0.5]);
});
