// Builds the unit tests (plain modules, no browser) so that node's own test runner can run them.
import { defineConfig } from 'vite';

export default defineConfig({
  // CommonJS for node, modules for us.
  ssr: { noExternal: ['mgrs', 'geographiclib-geodesic'] },
  build: {
    ssr: 'tests/all.test.ts',
    outDir: 'node_modules/.skywarden-tests',
    emptyOutDir: true,
    rolldownOptions: { external: [/^node:/], output: { entryFileNames: 'all.test.mjs' } },
  },
});
