// The console's first line of code: styles, then the page.
import '@fontsource-variable/inter/wght.css';
import 'maplibre-gl/dist/maplibre-gl.css';
import './styles/tokens.css';
import './styles/base.css';
import { mount } from 'svelte';
import App from './App.svelte';
import { language } from './text';

document.documentElement.lang = language;
const target = document.getElementById('app');
if (!target) throw new Error('index.html has no #app');
mount(App, { target });
