import assert from 'node:assert/strict';
import { test } from 'node:test';
import { area } from '../src/format/area';
import { mgrsText, placeOfMgrs, placeOfUtm, utmOf, utmText } from '../src/format/grid';
import { written } from '../src/format/position';
import { readPlace } from '../src/format/reading';
import { along, leg, surface } from '../src/measure/geodesic';

/** Latitude, longitude, zone, easting, northing as PROJ gives them. */
const PROJ: [number, number, number, number, number][] = [
  [36.705, -3.42, 30, 462486.0836, 4062230.0570],
  [-33.8568, 151.2153, 56, 334900.5697, 6252288.7529],
  [60.5, 4.2, 32, 236476.3832, 6716712.9129],
  [78.2, 15.6, 33, 513696.9454, 8680760.0532],
  [0.0001, -78.5, 17, 778276.3168, 11.0636],
  [-0.0001, -78.5, 17, 778276.3168, 9999988.9364],
  [83.9, 179.5, 60, 529650.4469, 9317573.4682],
  [-79.5, -179.9, 1, 441025.3574, 1172753.1372],
  [72.5, 8.9, 31, 697737.0973, 8054424.6129],
  [12.3456789, -71.9999, 19, 173719.2480, 1366606.1394],
];

function near(line: string, latitude: number, longitude: number, within = 1e-5): void {
  const found = readPlace(line);
  assert.ok(found, `${line} is read`);
  assert.ok(Math.abs(found.latitude_deg - latitude) < within && Math.abs(found.longitude_deg - longitude) < within, `${line}: ${found.latitude_deg}, ${found.longitude_deg}`);
}

test('UTM agrees with PROJ to a millimetre, also in the odd zones of Norway and Svalbard', () => {
  for (const [latitude, longitude, zone, east, north] of PROJ) {
    const found = utmOf(latitude, longitude);
    assert.ok(found);
    assert.equal(found.zone, zone);
    assert.ok(Math.hypot(found.easting_m - east, found.northing_m - north) < 0.001);
    const back = placeOfUtm(zone, latitude < 0, east, north);
    assert.ok(Math.hypot(back[0] - latitude, back[1] - longitude) < 1e-8);
  }
  assert.equal(utmOf(85, 0), null);
});

test('MGRS comes back to the square that it names', () => {
  assert.equal(mgrsText(38.8895, -77.0352), '18S UJ 23486 06483');
  for (const [latitude, longitude] of PROJ) {
    const square = mgrsText(latitude, longitude);
    assert.ok(square);
    const back = placeOfMgrs(square);
    assert.ok(back && leg([longitude, latitude], [back[1], back[0]]).distance_m < 1.5, square);
  }
  assert.equal(placeOfMgrs('99S UJ 23487 06483'), null);
  assert.equal(placeOfMgrs('18S UJ 2348 06483'), null);
});

test('a place is read in every notation that people use', () => {
  near('36.705, -3.42', 36.705, -3.42);
  near('36.705 -3.42', 36.705, -3.42);
  near('36.705,-3.42', 36.705, -3.42);
  near('36,705 -3,42', 36.705, -3.42);
  near('36,705; -3,42', 36.705, -3.42);
  near('36.705N 3.42W', 36.705, -3.42);
  near('N36.705 W3.42', 36.705, -3.42);
  near('3.42W 36.705N', 36.705, -3.42);
  near('36°42′18.0″N 003°25′12.0″W', 36.705, -3.42);
  near('36 42 18 N 3 25 12 O', 36.705, -3.42);
  near('36° 42.3′ N, 3° 25.2′ W', 36.705, -3.42);
  near('36d42\'18"N 3d25\'12"W', 36.705, -3.42);
  near('18S UJ 23487 06483', 38.8895, -77.0352, 2e-5);
  near('18suj2348706483', 38.8895, -77.0352, 2e-5);
  near(utmText(36.705, -3.42) as string, 36.705, -3.42, 1e-5);
  near('56 S 334873 6252266', -33.8568, 151.2153, 1e-3);
});

test('what could mean several things, or nothing, is not read', () => {
  for (const line of ['', 'harbour', '36.7', '91 0', '0 181', '36.7N 3.4N', '36 61 0 N 3 0 0 W', '36,7,3,4', '1 2 3', '36.5 30 N 3 2 W', '-36.7S 3.4W', '99S 500000 4000000', '30S 500000 99999999', 'x'.repeat(500)]) {
    assert.equal(readPlace(line), null, line);
  }
});

test('every notation is read back as the place that it was written for', () => {
  for (const [latitude, longitude] of PROJ) {
    for (const notation of ['decimal', 'dms', 'utm', 'mgrs'] as const) {
      const found = readPlace(written(notation, latitude, longitude));
      assert.ok(found, written(notation, latitude, longitude));
      assert.equal(found.as, notation);
      assert.ok(leg([longitude, latitude], [found.longitude_deg, found.latitude_deg]).distance_m < 3);
    }
  }
});

test('distance, bearing and area are those of the ellipsoid', () => {
  const found = leg([0, 0], [0, 1]);
  assert.ok(Math.abs(found.distance_m - 110_574.389) < 0.01);
  assert.equal(found.bearing_deg, 0);
  assert.ok(Math.abs(leg([179.9, 0], [-179.9, 0]).distance_m - 22_263.898) < 0.01);
  const cell = surface([[0, 0], [1, 0], [1, 1], [0, 1]]);
  assert.ok(Math.abs(cell.area_m2 / 12_308_778_361 - 1) < 1e-6);
  assert.ok(Math.abs(surface([[0, 1], [1, 1], [1, 0], [0, 0]]).area_m2 / cell.area_m2 - 1) < 1e-12);
  assert.equal(area(8_200), '8200 m²');
  assert.equal(area(82_000), '8.20 ha');
});

test('a geodesic across 180 degrees does not leap round the globe', () => {
  const line = along([170, 50], [-170, 50]);
  assert.ok(line.every((point, index) => index === 0 || Math.abs(point[0] - (line[index - 1] as [number, number])[0]) < 5));
});
