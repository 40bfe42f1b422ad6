// How the console is built: relative addresses, nothing inlined (the Content-Security-Policy forbids it), notices kept.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig, type Plugin } from 'vite';

const GROUND = process.env['SKYWARDEN_GROUND'] ?? 'http://127.0.0.1:8600';

/** Writes licenses.txt beside the build: the notices of every package whose code is inside it. */
function notices(): Plugin {
  return {
    name: 'skywarden-notices',
    apply: 'build',
    generateBundle() {
      const queue = ['maplibre-gl', 'svelte', '@fontsource-variable/inter', 'mgrs', 'geographiclib-geodesic', 'pmtiles'];
      const done = new Set<string>();
      const parts: string[] = [];
      for (let name = queue.shift(); name; name = queue.shift()) {
        const folder = join('node_modules', name);
        if (done.has(name) || !existsSync(folder)) continue;
        done.add(name);
        const about = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as {
          version: string;
          license?: string;
          dependencies?: Record<string, string>;
        };
        if (name === 'maplibre-gl' || name === 'pmtiles') queue.push(...Object.keys(about.dependencies ?? {}));
        const file = readdirSync(folder).find((entry) => /^(licen[cs]e|copying)/i.test(entry));
        const text = file ? readFileSync(join(folder, file), 'utf8').trim() : `Licence: ${about.license ?? 'not stated'}`;
        parts.push(`${name} ${about.version}\n\n${text}`);
      }
      this.emitFile({ type: 'asset', fileName: 'licenses.txt', source: parts.join(`\n\n${'-'.repeat(78)}\n\n`) });
    },
  };
}

export default defineConfig({
  base: './',
  plugins: [svelte(), notices()],
  worker: { format: 'es' },
  build: { target: 'es2022', assetsInlineLimit: 0, chunkSizeWarningLimit: 1600, modulePreload: { polyfill: false } },
  // The browser's own Host goes on to the ground, which compares it with the page's origin.
  server: { proxy: { '/api': { target: GROUND, changeOrigin: false } } },
});
