// Areas as people read them: square metres, hectares, square kilometres.
import { fixed } from './quantity';

export function area(square_m: number): string {
  if (square_m < 1e4) return `${fixed(square_m, 0)} m²`;
  if (square_m < 1e6) return `${fixed(square_m / 1e4, square_m < 1e5 ? 2 : 1)} ha`;
  return `${fixed(square_m / 1e6, square_m < 1e8 ? 2 : 0)} km²`;
}
