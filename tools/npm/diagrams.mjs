// Draws the Mermaid diagrams of the documentation's site into pictures, one for light and one for dark pages, and puts them in
// their places. A diagram that Mermaid cannot read, or that does not say what it shows (accTitle), is an error.
//
//   node diagrams.mjs CHROMIUM SITE
import {createHash} from 'node:crypto';
import {mkdirSync, readdirSync, readFileSync, writeFileSync} from 'node:fs';
import {createRequire} from 'node:module';
import path from 'node:path';
import {chromium} from 'playwright-core';

const [executablePath, site] = process.argv.slice(2);
const library = createRequire(import.meta.url).resolve('mermaid').replace(/[^/]+$/, 'mermaid.min.js');
const block = /<pre[^>]*><code class="language-mermaid">([\s\S]*?)<\/code><\/pre>/g;
const text = html => html.replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&quot;', '"').replaceAll('&#39;', "'").replaceAll('&amp;', '&');

const browser = await chromium.launch({executablePath, args: ['--no-sandbox']});
const page = await browser.newPage();
await page.route('**', route => route.abort());
await page.setContent('<main></main>');
await page.addScriptTag({path: library});

// draw returns a diagram as SVG that needs nothing around it.
async function draw(source, theme) {
  return page.evaluate(async ([source, theme]) => {
    mermaid.initialize({startOnLoad: false, securityLevel: 'strict', theme, htmlLabels: false, fontFamily: 'system-ui, sans-serif',
      deterministicIds: true, flowchart: {htmlLabels: false, useMaxWidth: false}, sequence: {useMaxWidth: false}, state: {useMaxWidth: false}});
    return (await mermaid.render('diagram', source)).svg;
  }, [source, theme]);
}

const problems = [];
let drawn = 0;
for (const name of readdirSync(site, {recursive: true}).filter(n => n.endsWith('.html')).sort()) {
  const file = path.join(site, name);
  const before = readFileSync(file, 'utf8');
  let after = before;
  for (const [whole, escaped] of before.matchAll(block)) {
    const source = text(escaped);
    const title = source.match(/^\s*accTitle: (.+)$/m)?.[1];
    if (!title) {
      problems.push(`${name}: a diagram lacks accTitle, which says what it shows`);
      continue;
    }
    try {
      const id = createHash('sha256').update(source).digest('hex').slice(0, 12);
      mkdirSync(path.join(site, 'diagrams'), {recursive: true});
      for (const theme of ['default', 'dark'])
        writeFileSync(path.join(site, 'diagrams', `${id}-${theme}.svg`), await draw(source, theme));
      const to = path.relative(path.dirname(name), `diagrams/${id}`);
      const alt = title.replaceAll('&', '&amp;').replaceAll('"', '&quot;').replaceAll('<', '&lt;');
      after = after.replace(whole, () => `<div class="diagram" tabindex="0" role="group" aria-label="${alt}"><picture><source media="(prefers-color-scheme: dark)" ` +
        `srcset="${to}-dark.svg"><img src="${to}-default.svg" alt="${alt}"></picture></div>`);
      drawn++;
    } catch (err) {
      problems.push(`${name}: ${title}: ${err.message.split('\n')[0]}`);
    }
  }
  if (after !== before) writeFileSync(file, after);
}
await browser.close();
if (problems.length || !drawn) {
  console.error(problems.join('\n') || `no diagram found in ${site}`);
  process.exit(1);
}
console.log(`${drawn} diagrams drawn`);
