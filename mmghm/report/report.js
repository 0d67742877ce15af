'use strict';
(async () => {
  const $ = (id) => document.getElementById(id);
  const COLORS = ['#1f5f99', '#3b9a8f', '#d98e04', '#b3402a'];
  const OTHER = '#8a95a3';
  const INK = '#1d2733';
  const CONFIG = { displayModeBar: false, responsive: true, scrollZoom: false };
  const CLASS_BARS = 60; // Above so many classes they are points.

  async function unpack(id) {
    if (typeof DecompressionStream === 'undefined') {
      throw new Error('this browser is too old to unpack the report '
        + '(it needs Chrome 80, Firefox 113, Safari 16.4 or newer)');
    }
    return decompress($(id).textContent);
  }
  const decompress = (base64) => new Response(
    new Blob([Uint8Array.from(atob(base64), (c) => c.charCodeAt(0))])
      .stream().pipeThrough(new DecompressionStream('gzip')));

  const percent = (x) => (x == null ? '–' : `${(100 * x).toFixed(1)} %`);
  const signed = (x) => (x == null ? '–'
    : `${x >= 0 ? '+' : '−'}${Math.abs(x).toFixed(1)}`);
  const mean = (list) => (list.length
    ? list.reduce((a, b) => a + b, 0) / list.length : null);

  function element(tag, text, attributes = {}) {
    const made = document.createElement(tag);
    if (text !== undefined) made.textContent = text;
    for (const [key, value] of Object.entries(attributes)) {
      made.setAttribute(key, value);
    }
    return made;
  }

  function table(head, rows, className = '') {
    const made = element('table', undefined, { class: className });
    const cell = (tag, text, numeric, scope) => element(tag, text, {
      ...(numeric ? { class: 'number' } : {}), ...(scope ? { scope } : {}),
    });
    if (head) {
      const line = made.createTHead().insertRow();
      head.forEach((t, i) => line.append(cell('th', t, i > 0, 'col')));
    }
    const body = made.createTBody();
    for (const row of rows) {
      const line = body.insertRow();
      row.forEach((t, i) => line.append(i === 0
        ? cell('th', t, false, 'row') : cell('td', t, head !== null)));
    }
    return made;
  }

  const isNarrow = () => window.innerWidth < 600;
  function draw(id, traces, layout) {
    const narrow = isNarrow();
    return Plotly.react($(id), traces, {
      font: { family: 'system-ui, sans-serif', size: narrow ? 11 : 13, color: '#1d2733' },
      margin: { l: 52, r: layout.yaxis2 ? 56 : 14, t: 14, b: 44 },
      paper_bgcolor: 'rgba(0,0,0,0)', plot_bgcolor: 'rgba(0,0,0,0)',
      legend: { orientation: 'h', y: 1.02, yanchor: 'bottom', x: 0 },
      dragmode: narrow ? false : 'zoom', hovermode: 'closest', ...layout,
      xaxis: { gridcolor: '#e4e8ed', zeroline: false, automargin: true, ...layout.xaxis },
      yaxis: { gridcolor: '#e4e8ed', zeroline: false, automargin: true, ...layout.yaxis },
    }, CONFIG);
  }

  // Powers of ten, with 2 and 5 between them where there are few.
  function logTicks(low, high) {
    const decades = Math.log10(high / low);
    const tickvals = [];
    for (let e = Math.floor(Math.log10(low)); e <= Math.log10(high); e += Math.ceil(decades / 5) || 1) {
      for (const m of decades > 2 ? [1] : [1, 2, 5]) tickvals.push(m * 10 ** e);
    }
    return { tickvals, ticktext: tickvals.map((t) => String(Number(t.toPrecision(1)))) };
  }

  function missing(id, what) {
    Plotly.purge($(id));
    $(id).replaceChildren(element('p', what, { class: 'missing' }));
    $(id).classList.remove('figure');
  }
  function present(id) {
    if (!$(id).classList.contains('figure')) {
      $(id).classList.add('figure');
      $(id).replaceChildren();
    }
  }

  const NO_RECORD = 'Not recorded: add dict(type=\'RunRecordHook\') to '
    + 'custom_hooks, and a GroupAccuracy to val_evaluator.';

  // Accuracy of each class, null where the validation set has no image of it.
  const classAccuracy = (run) => run.tested && run.tested.map(
    (n, i) => (n ? 100 * run.correct[i] / n : null));
  function groupAccuracy(run, rule) {
    if (!run.groups || !run.tested) return null;
    const accuracy = classAccuracy(run);
    const of = (members) => mean(
      members.map((c) => accuracy[c]).filter((a) => a != null));
    const sum = (list) => list.reduce((a, b) => a + b, 0);
    const result = {
      overall: 100 * sum(run.correct) / sum(run.tested),
      macro: mean(accuracy.filter((a) => a != null)),
    };
    for (const [name, members] of Object.entries(run.groups[rule])) {
      result[name] = of(members);
    }
    return result;
  }

  const report = await (await unpack('packed-payload')).json();
  const code = element('script');
  code.textContent = await (await unpack('packed-plotly')).text();
  document.head.append(code);
  $('version').textContent = report.version;

  const state = {
    run: 0, against: -1, part: 'validation', rule: 'quartile', label: 0, step: 0,
  };
  // Without a validation the test is shown.
  const shows = (r) => (r.test && (state.part === 'test' || !r.tested) ? 'test' : 'validation');
  const view = (r) => (r && shows(r) === 'test' ? { ...r, ...r.test } : r);
  const run = () => view(report.runs[state.run]);
  const shownPart = () => shows(report.runs[state.run]);
  const beside = () => view(report.runs[state.against]);
  // Figures of other images are no comparison; curves are.
  const comparable = () => (
    shownPart() === shows(report.runs[state.against]));
  const against = () => (beside() && comparable() ? beside() : undefined);
  const total = (list) => list.reduce((a, b) => a + b, 0);

  // Of the whole, that the text of a figure has room for.
  const short = (name, length = isNarrow() ? 12 : 20) => (
    name.length > length
      ? `${name.slice(0, length / 2)}…${name.slice(1 - length / 2)}` : name);

  function worstClass(r) {
    const accuracy = classAccuracy(r);
    if (!accuracy) return null;
    const tested = accuracy.map((a, c) => [a, c]).filter(([a]) => a != null);
    tested.sort(([a, c], [b, d]) => a - b || r.counts[d] - r.counts[c]);
    return tested.length ? { value: tested[0][0], label: tested[0][1] } : null;
  }

  function cards() {
    const mine = groupAccuracy(run(), state.rule);
    const other = against() && groupAccuracy(against(), state.rule);
    const ece = (r) => r?.calibration?.[state.rule]?.all?.ece;
    const made = [];
    const add = (title, value, theirs, note) => {
      if (value == null) return;
      const card = element('div', undefined, { class: 'card' });
      card.append(element('span', title), element('b', `${value.toFixed(1)} %`));
      if (note) card.append(element('em', note));
      if (theirs != null) {
        card.append(element('em', `${signed(value - theirs)} points against ${against().name}`));
      }
      made.push(card);
    };
    add('overall accuracy', mine?.overall, other?.overall,
      `of ${total(run().tested ?? []).toLocaleString('en')} ${shownPart()} images`);
    add('macro accuracy', mine?.macro, other?.macro, 'mean over the classes');
    const worst = worstClass(run());
    if (worst) {
      add('worst class', worst.value, other && worstClass(against())?.value,
        `${run().classes[worst.label] ?? worst.label}: ${(run().counts[worst.label] ?? 0).toLocaleString('en')} training images`);
    }
    const scaled = (x) => (x == null ? null : 100 * x);
    add('calibration error', scaled(ece(run())), scaled(ece(against())), 'score minus proportion of right answers');
    $('cards').replaceChildren(...(made.length ? made
      : [element('p', NO_RECORD, { class: 'missing' })]));
    const facts = [];
    if (beside() && !comparable()) {
      facts.push(`Not compared: of ${beside().name} no ${shownPart()} is recorded.`);
    }
    if (shownPart() === 'test') facts.push(`Tested: ${run().checkpoint}.`);
    const steps = Object.values(run().validation)[0]?.[0];
    if (steps?.length) facts.push(`Last validation: epoch ${steps[steps.length - 1]}.`);
    if (run().started) facts.push(`Training began on ${run().started}.`);
    $('when').textContent = facts.join(' ');
  }

  function groups() {
    const mine = groupAccuracy(run(), state.rule);
    if (!mine) {
      $('groups-table').replaceChildren();
      return missing('groups', NO_RECORD);
    }
    present('groups');
    $('groups-note').textContent = `Mean over the classes of a group, on ${shownPart()} images.`;
    const other = against() && groupAccuracy(against(), state.rule);
    const names = Object.keys(mine);
    // How many classes, evaluated images and training images a group has.
    const size = (n) => {
      const members = run().groups[state.rule][n] ?? run().counts.map((_, c) => c);
      const images = (of) => total(members.map((c) => of[c] ?? 0));
      return [members.length, images(run().tested), images(run().counts)]
        .map((x) => x.toLocaleString('en'));
    };
    const label = (n) => {
      const [classesOf, evaluated] = size(n);
      return isNarrow() ? n
        : `${n}<br>${classesOf} classes<br>${evaluated} images`;
    };
    const bars = (values, name, color) => ({
      type: 'bar', name: short(name, 40), x: names.map(label), y: values, marker: { color },
      texttemplate: '%{y:.1f}', cliponaxis: false,
      textposition: other && isNarrow() ? 'none' : 'outside',
      hovertemplate: '%{x}: %{y:.2f} %<extra></extra>',
    });
    const traces = [bars(names.map((n) => mine[n]), run().name, COLORS[0])];
    if (other) traces.push(bars(names.map((n) => other[n]), against().name, OTHER));
    draw('groups', traces, {
      yaxis: { title: { text: 'accuracy (%)' }, range: [0, 108] },
      showlegend: Boolean(other), bargap: 0.35,
    });
    $('groups-table').replaceChildren(table(
      ['group', 'classes', `${shownPart()} images`, 'training images', run().name, ...(other ? [against().name, 'difference'] : [])],
      names.map((n) => [n, ...size(n), mine[n]?.toFixed(2) ?? '–', ...(other
        ? [other[n]?.toFixed(2) ?? '–', signed(other[n] == null || mine[n] == null ? null : mine[n] - other[n])]
        : [])])));
    return undefined;
  }

  // Class ids from head to tail.
  const byRank = (r) => r.counts.map((_, i) => i)
    .sort((a, b) => r.counts[b] - r.counts[a] || a - b);

  function classes() {
    const r = run();
    $('classes-note').textContent = '';
    if (!r.counts || !r.tested) return missing('classes', NO_RECORD);
    present('classes');
    const order = byRank(r);
    const accuracy = classAccuracy(r);
    const theirs = against() && classAccuracy(against());
    const compares = theirs && theirs.length === accuracy.length;
    if (theirs && !compares) {
      $('classes-note').textContent = `${against().name} has other classes, so that no difference is shown.`;
    }
    const values = order.map((c) => (compares
      ? (accuracy[c] == null || theirs[c] == null ? null : accuracy[c] - theirs[c])
      : accuracy[c]));
    if (compares) {
      $('classes-note').textContent = `Shown: ${r.name} minus ${against().name}.`;
    }
    const ranks = order.map((_, i) => i + 1);
    const text = order.map((c) => `${r.classes[c] ?? c}<br>${r.counts[c] ?? 0} training images`);
    const shared = {
      x: ranks, y: values, name: compares ? 'difference' : 'accuracy', hovertext: text,
      hovertemplate: `%{hovertext}<br>%{y:.1f}${compares ? ' points' : ' %'}<extra></extra>`,
    };
    const traces = [];
    if (order.length <= CLASS_BARS) {
      traces.push({ type: 'bar', marker: { color: '#9dbcd8' }, ...shared });
    } else {
      traces.push({ mode: 'markers', marker: { color: COLORS[0], size: 3, opacity: 0.35 }, ...shared });
      const reach = Math.max(Math.round(order.length / 60), 3);
      traces.push({
        mode: 'lines', name: `mean of ${2 * reach + 1} classes`, x: ranks,
        y: ranks.map((_, i) => mean(values.slice(Math.max(i - reach, 0), i + reach + 1)
          .filter((v) => v != null))),
        line: { color: COLORS[3], width: 2.5 }, hoverinfo: 'skip',
      });
    }
    traces.push({
      mode: 'lines', name: 'training images', x: ranks, y: order.map((c) => r.counts[c]),
      yaxis: 'y2', line: { color: INK, width: 2, shape: 'hvh', dash: 'dot' },
      hoverinfo: 'skip',
    });
    const few = order.length <= 30;
    draw('classes', traces, {
      xaxis: {
        title: { text: few ? '' : 'class by rank of train count' },
        ...(few ? { tickvals: ranks, ticktext: order.map((c) => short(String(r.classes[c] ?? c))) } : {}),
      },
      yaxis: { title: { text: compares ? 'difference (points)' : 'accuracy (%)' },
        ...(compares ? { zeroline: true, zerolinecolor: '#1d2733' } : { range: [0, 102] }) },
      yaxis2: { type: 'log', overlaying: 'y', side: 'right', showgrid: false,
        ...logTicks(Math.max(Math.min(...r.counts), 0.5), Math.max(...r.counts)),
        title: { text: 'training images' }, automargin: true },
      showlegend: true,
    });
    return undefined;
  }

  function curveChoices() {
    const names = Object.keys(run().train);
    const before = $('curve').value;
    $('curve').replaceChildren(...names.map((n) => element('option', n, { value: n })));
    if (names.includes(before)) $('curve').value = before;
    else if (names.includes('loss')) $('curve').value = 'loss';
  }

  function curves() {
    const pick = (r, kind, key, name, color, dash) => r?.[kind][key] && ({
      mode: r[kind][key][0].length > 60 ? 'lines' : 'lines+markers', name,
      x: r[kind][key][0], y: r[kind][key][1], marker: { size: 5 }, line: { color, dash, width: 1.8 },
      hovertemplate: 'epoch %{x}: %{y:.4g}<extra></extra>',
    });
    const key = $('curve').value;
    const training = [
      pick(run(), 'train', key, run().name, COLORS[0]),
      pick(beside(), 'train', key, beside()?.name, OTHER, 'dot'),
    ].filter(Boolean);
    if (training.length) {
      present('train');
      draw('train', training, {
        xaxis: { title: { text: 'epoch' } }, yaxis: { title: { text: key } },
        showlegend: training.length > 1,
      });
    } else missing('train', 'No figures of training were logged (vis_data/scalars.json).');
    const all = Object.keys(run().validation);
    const wanted = ['overall', ...Object.keys(run().groups?.[state.rule] ?? {})];
    let keys = wanted.map((g) => all.find((k) => k.endsWith(g === 'overall'
      ? '/overall/top1' : `${state.rule}/${g}/top1`)));
    if (!keys.some(Boolean)) keys = all.filter((k) => /top1|acc/.test(k));
    const colors = ['#1d2733', ...COLORS];
    const traces = [];
    keys.forEach((k, i) => {
      if (!k) return;
      const name = wanted[i] ?? k;
      traces.push(pick(run(), 'validation', k, name, colors[i % colors.length]));
      const other = pick(beside(), 'validation', k, `${name} (${beside()?.name})`,
        colors[i % colors.length], 'dot');
      if (other) traces.push({ ...other, showlegend: false });
    });
    $('validation-note').textContent = beside() ? `Dotted: ${beside().name}.` : '';
    if (traces.length) {
      present('validation');
      draw('validation', traces, {
        xaxis: { title: { text: 'epoch' } }, yaxis: { title: { text: 'accuracy (%)' } },
        showlegend: true,
      });
    } else missing('validation', 'No validation was logged.');
  }

  const scrolls = (content) => {
    const frame = element('div', undefined, { class: 'scrolls' });
    frame.append(content);
    return frame;
  };
  const image = (source, file) => (source
    ? element('img', undefined, { src: source, alt: file })
    : element('p', 'no picture', { class: 'missing' }));

  // Of each image: picture, file name, class, what is said of it, more below.
  function gallery(images) {
    const made = element('div', undefined, { class: 'gallery' });
    for (const [source, file, label, said, ...below] of images) {
      const figure = element('figure');
      const caption = element('figcaption', undefined, { title: file });
      caption.append(element('b', label), said, ...below);
      figure.append(image(source, file), caption);
      made.append(figure);
    }
    return made;
  }

  function nearest(found) {
    const list = element('ol', undefined, { class: 'nearest' });
    for (const [source, file, label, similarity] of found) {
      const item = element('li', undefined, { title: file });
      item.append(image(source, file), element('span', `${label}, ${similarity.toFixed(2)}`));
      list.append(item);
    }
    return list;
  }

  function labels() {
    const all = run().train_images;
    if (!all) {
      return missing('labels', 'Not looked for: run mmghm report WORK_DIR --checkpoint FILE.');
    }
    const found = all.labels;
    const note = all.note || found.note;
    if (note) return missing('labels', note);
    const [images, flagged] = [2, 3].map((i) => total(found.groups.map((g) => g[i])));
    const shown = [
      element('p', `${flagged.toLocaleString('en')} of ${images.toLocaleString('en')} train images look like another `
        + 'class to a classifier that was fitted to the other images. This is a list to look at, not to delete from: '
        + 'right labels of unusual images are on it, too.'
        + (found.single ? ` Not examined: ${found.single} classes with a single image.` : '')),
      scrolls(table(['group', 'classes', 'train images', 'on the list'],
        found.groups.map(([name, ...rest]) => [name, ...rest.map((n) => n.toLocaleString('en'))]))),
    ];
    for (const [title, rows] of [
      ['Rare: the quarter of the classes with the fewest train images', found.tail],
      ['The other classes', found.head],
    ]) {
      if (rows.length) {
        shown.push(element('h3', title), gallery(rows.map(
          ([source, file, given, suggested, sure]) => [source, file, given,
            ` (score ${sure}\u00a0%), perhaps ${suggested}: ${file}`])));
      }
    }
    return $('labels').replaceChildren(...shown);
  }

  function mistakes() {
    const found = run().mistakes;
    if (!found) return missing('mistakes', NO_RECORD);
    if (!found.pairs.length) {
      return $('mistakes').replaceChildren(element('p', 'None: every image is right.'));
    }
    const shown = [];
    const add = (title, content) => shown.push(element('h3', title), content);
    if (found.images.length) {
      const near = run().train_images?.nearest ?? [];
      add('Images: the surest mistakes', gallery(found.images.map(
        ([source, file, label, taken, sure], i) => [source, file, label,
          ` taken for ${taken}, score ${sure}\u00a0%`, nearest(near[i] ?? [])])));
      if (near.some((list) => list.length)) {
        shown.push(element('p', 'Under each mistake: its nearest train images, with cosine similarities.'));
      }
    }
    add('Classes: the lowest accuracies', scrolls(table(
      ['class', 'train images', 'evaluated', 'accuracy', 'most often taken for'],
      found.classes.map(([name, ...rest]) => [name, rest[0], rest[1], `${rest[2]} %`, rest[3]]),
    )));
    add('Pairs: the most frequent confusions', scrolls(table(
      ['class', 'taken for', 'images', 'of the class'],
      found.pairs.map(([name, taken, n, part]) => [name, taken, n, `${part} %`]),
    )));
    return $('mistakes').replaceChildren(...shown);
  }

  function confusion() {
    const found = run().confusion?.[state.rule];
    if (!found) return missing('confusion', NO_RECORD);
    present('confusion');
    const text = found.shares.map((row) => row.map(percent));
    return draw('confusion', [{
      type: 'heatmap', x: found.names, y: found.names, z: found.shares,
      text, texttemplate: '%{text}', colorscale: [[0, '#f3f7fb'], [1, COLORS[0]]],
      zmin: 0, zmax: 1, showscale: false, xgap: 2, ygap: 2,
      hovertemplate: 'of %{y} images, %{text} are predicted as %{x}<extra></extra>',
    }], {
      xaxis: { title: { text: 'predicted group' } },
      yaxis: { title: { text: 'group of the image' }, autorange: 'reversed' },
    });
  }

  function calibration() {
    const found = run().calibration?.[state.rule];
    const other = against()?.calibration?.[state.rule]?.all;
    if (!found || !Object.keys(found).length) {
      $('calibration-table').replaceChildren();
      return missing('calibration', NO_RECORD);
    }
    present('calibration');
    const line = (points, name, color, dash) => ({
      mode: 'lines+markers', name, x: points.confidence, y: points.accuracy,
      connectgaps: true, line: { color, dash, width: 1.8 },
      marker: { size: points.share.map((s) => 4 + 14 * Math.sqrt(s)), color, opacity: 0.7 },
      hovertemplate: 'score %{x:.2f}: %{y:.2f} right<extra></extra>',
    });
    const groupNames = Object.keys(found);
    if ($('calibration-group').dataset.names !== groupNames.join()) {
      $('calibration-group').dataset.names = groupNames.join();
      $('calibration-group').replaceChildren(
        ...groupNames.map((n) => element('option', n, { value: n })));
    }
    const chosen = $('calibration-group').value;
    const traces = [{
      mode: 'lines', x: [0, 1], y: [0, 1], showlegend: false, hoverinfo: 'skip',
      line: { color: '#9aa7b5', dash: 'dash', width: 1 },
    }];
    if (chosen !== 'all') traces.push(line(found[chosen], chosen, COLORS[3]));
    traces.push(line(found.all, 'all', COLORS[0]));
    if (other) traces.push(line(other, `all (${against().name})`, OTHER, 'dot'));
    $('calibration-table').replaceChildren(table(
      ['group', 'ECE', 'score', 'right', 'images'],
      [...Object.entries(found), ...(other ? [[`all (${against().name})`, other]] : [])]
        .map(([name, p]) => [name, percent(p.ece), percent(p.mean_confidence),
          percent(p.mean_accuracy), String(p.images)])));
    return draw('calibration', traces, {
      xaxis: { title: { text: 'score' }, range: [-0.02, 1.02] },
      yaxis: { title: { text: 'proportion of right predictions' }, range: [-0.02, 1.02] },
      showlegend: true,
    });
  }

  function inUse() {
    const found = run().in_use;
    $('use-shifts').replaceChildren();
    $('use-calibration').replaceChildren();
    if (!found) {
      $('use-note').textContent = '';
      return missing('use-coverage', 'Not measured: run mmghm test CONFIG CHECKPOINT --prior uniform.');
    }
    present('use-coverage');
    $('use-note').textContent = 'Test sets drawn from the test images, long-tailed as the train set (forward) to '
      + 'inverted (backward). Top-1 accuracy in percent as trained, and corrected for the class proportions of the set, '
      + `known or estimated from its images. Class prior of the model: ${found.told}.`;
    const number = (x) => (x == null ? '–' : x.toFixed(2));
    const gain = (x, base) => `${number(x)} (${x >= base ? '+' : ''}${number(x - base)})`;
    $('use-shifts').replaceChildren(table(
      ['test set', 'images', 'as trained', 'known proportions', 'estimated proportions', 'error of the estimate'],
      found.shifts.map(([name, images, trained, known, estimated, error]) => [
        name, images.toLocaleString('en'), `${number(trained[0])} ± ${number(trained[1])}`,
        gain(known[0], trained[0]), gain(estimated[0], trained[0]), number(error[0])])));
    const stages = Object.entries(found.calibration);
    if (stages.length) {
      const names = Object.keys(stages[0][1]);
      $('use-calibration').replaceChildren(
        element('p', `Expected calibration error on ${found.fitted_on}; temperature ${number(found.temperature)}.`),
        table(['', ...names], stages.map(([stage, errors]) => [stage, ...names.map((n) => percent(errors[n]))])));
    }
    const colors = ['#1d2733', ...COLORS];
    return draw('use-coverage', Object.entries(found.coverage).map(([name, [coverage, risk]], i) => ({
      mode: 'lines', name, x: coverage, y: risk, line: { color: colors[i % colors.length], width: 1.8 },
      hovertemplate: '%{x:.0%} answered: %{y:.1%} wrong<extra></extra>',
    })), {
      xaxis: { title: { text: 'proportion of images answered, surest first (by predicted group)' }, range: [0, 1.02], tickformat: '.0%' },
      yaxis: { title: { text: 'proportion of wrong answers' }, rangemode: 'tozero', tickformat: '.0%' },
      showlegend: true,
    });
  }

  // The bytes of a step: examples (C, N), weights (C, N), inner edges (C, N-1).
  const unpacked = new Map();
  function histogramBytes(r, step) {
    const data = r.histograms.data[step];
    if (!unpacked.has(data)) {
      unpacked.set(data, decompress(data).arrayBuffer());
    }
    return unpacked.get(data);
  }
  function fromByte(byte, [low, high]) {
    return byte === 0 ? null
      : Math.exp(Math.log(low) + (byte - 1) / 254 * Math.log(high / low));
  }
  function histogramOf(buffer, r, label) {
    const { regions: n, classes: c, examples_range: er, weights_range: wr } = r.histograms;
    const bytes = new Uint8Array(buffer);
    const read = (start, range) => Array.from(
      bytes.subarray(start + label * n, start + (label + 1) * n), (b) => fromByte(b, range));
    const inner = new DataView(buffer, 2 * c * n);
    const edges = [0];
    for (let i = 0; i < n - 1; i += 1) {
      edges.push(inner.getUint16(2 * (label * (n - 1) + i), true) / 65535);
    }
    edges.push(1);
    return { examples: read(0, er), weights: read(c * n, wr), edges };
  }

  const className = (r, c) => `${c}: ${r.classes[c] ?? c} (${r.counts?.[c] ?? '?'} images)`;
  let drawing = 0;
  async function histogram() {
    const r = run();
    const found = r.histograms;
    for (const id of ['class', 'previous', 'next', 'epoch']) $(id).disabled = !found;
    if (!found) {
      $('histogram-note').textContent = '';
      $('epoch-shown').textContent = '';
      return missing('histogram', 'No histograms were recorded: the loss is no GHMCWAPLoss, or RunRecordHook is not among the hooks.');
    }
    present('histogram');
    const order = r.counts ? byRank(r) : [...Array(found.classes).keys()];
    const place = order.indexOf(state.label);
    $('previous').disabled = place <= 0;
    $('next').disabled = place >= order.length - 1;
    state.step = Math.min(state.step, found.steps.length - 1);
    $('epoch').max = found.steps.length - 1;
    $('epoch').value = state.step;
    $('epoch').setAttribute('aria-valuetext', `epoch ${found.steps[state.step]}`);
    $('epoch-shown').textContent = found.steps[state.step];
    $('histogram-note').textContent = found.steps.length < found.recorded
      ? `${found.steps.length} of ${found.recorded} recorded epochs, to keep the page small.` : '';
    drawing += 1;
    const mine = drawing;
    const all = await Promise.all(found.steps.map((_, i) => histogramBytes(r, i)));
    if (mine !== drawing) return undefined; // Another one was asked for since.
    const series = all.map((buffer) => histogramOf(buffer, r, state.label));
    const { examples, weights, edges } = series[state.step];
    const middle = examples.map((_, i) => (edges[i] + edges[i + 1]) / 2);
    const width = examples.map((_, i) => Math.max(edges[i + 1] - edges[i], 0.0015));
    const norm = (x) => Math.sin(x * Math.PI / 2) ** 2;
    const text = examples.map((k, i) => `g ${norm(edges[i]).toPrecision(3)} to ${norm(edges[i + 1]).toPrecision(3)}<br>`
      + `${k == null ? 'no example' : `about ${k < 10 ? k.toFixed(1) : Math.round(k)} examples, W ${weights[i].toPrecision(3)}`}`);
    const ticks = isNarrow() ? [0, 0.1, 0.5, 0.9, 1] : [0, 0.01, 0.1, 0.5, 0.9, 0.99, 1];
    // The same axes at every epoch.
    const most = Math.max(1, ...series.flatMap((s) => s.examples.map((k) => k ?? 0)));
    const seen = series.flatMap((s) => s.weights.filter((w) => w != null));
    const [least, greatest] = [Math.min(0.5, ...seen) / 1.3, Math.max(2, ...seen) * 1.3];
    return draw('histogram', [{
      type: 'bar', name: 'examples', x: middle, width, y: examples, text,
      textposition: 'none', hovertemplate: '%{text}<extra></extra>',
      marker: { color: COLORS[0], opacity: 0.65, line: { color: '#1d2733', width: 0.6 } },
    }, {
      mode: 'markers+lines', name: 'weight W', x: middle, y: weights, yaxis: 'y2', text,
      connectgaps: true, marker: { color: COLORS[3], size: 6 },
      line: { color: COLORS[3], width: 1 }, hovertemplate: '%{text}<extra></extra>',
    }], {
      bargap: 0,
      xaxis: { title: { text: 'gradient norm g (arcsine scale)' }, range: [-0.005, 1.005],
        tickvals: ticks.map((g) => Math.asin(Math.sqrt(g)) / (Math.PI / 2)), ticktext: ticks, tickangle: 0 },
      yaxis: { type: 'log', title: { text: 'examples in region' },
        range: [Math.log10(0.5), Math.log10(most * 1.5)], ...logTicks(1, most * 1.5) },
      yaxis2: { type: 'log', title: { text: 'weight W' }, overlaying: 'y', side: 'right',
        showgrid: false, automargin: true,
        range: [Math.log10(least), Math.log10(greatest)], ...logTicks(least, greatest) },
      showlegend: true,
    });
  }

  function chooseClass(label) {
    state.label = label;
    $('class').value = className(run(), label);
    $('class-error').hidden = true;
    return histogram();
  }

  function findClass(text) {
    const r = run();
    const number = /^\s*(\d+)\s*(:|$)/.exec(text);
    if (number && Number(number[1]) < r.histograms.classes) return Number(number[1]);
    return r.classes.findIndex((name) => name.toLowerCase() === text.trim().toLowerCase());
  }

  function settings() {
    $('settings').replaceChildren(table(null, run().settings, 'settings'));
    $('config').textContent = run().config;
  }

  function options() {
    const r = run();
    curveChoices();
    const number = r.histograms?.classes ?? 0;
    const order = r.counts ? byRank(r) : [...Array(number).keys()];
    $('class-names').replaceChildren(...order.slice(0, number).map(
      (c) => element('option', undefined, { value: className(r, c) })));
    state.label = Math.min(order[0] ?? 0, Math.max(number - 1, 0));
    $('class').value = number ? className(r, state.label) : '';
    state.step = Math.max((r.histograms?.steps.length ?? 1) - 1, 0);
  }

  function show() {
    cards(); groups(); classes(); curves(); mistakes(); labels(); confusion(); calibration(); inUse(); settings();
    return histogram();
  }

  const tests = report.runs.some((r) => r.test);
  $('part-label').hidden = !tests;
  if (!tests) $('part-label').style.display = 'none';

  const names = report.runs.map((r) => r.name);
  $('run').replaceChildren(...names.map((n, i) => element('option', n, { value: i })));
  function others() {
    if (state.against === state.run) state.against = -1;
    $('against').replaceChildren(element('option', 'none', { value: -1 }),
      ...names.map((n, i) => element('option', n, { value: i })).filter((_, i) => i !== state.run));
    $('against').value = state.against;
  }
  $('against-label').hidden = names.length < 2;
  if (names.length < 2) $('against-label').style.display = 'none';

  $('run').addEventListener('change', (e) => { state.run = Number(e.target.value); others(); options(); show(); });
  $('against').addEventListener('change', (e) => {
    state.against = Number(e.target.value); show();
  });
  $('part').addEventListener('change', (e) => { state.part = e.target.value; show(); });
  $('rule').addEventListener('change', (e) => { state.rule = e.target.value; show(); });
  $('curve').addEventListener('change', curves);
  $('calibration-group').addEventListener('change', calibration);
  $('epoch').addEventListener('input', (e) => { state.step = Number(e.target.value); histogram(); });
  const step = (by) => {
    const order = run().counts ? byRank(run()) : [...Array(run().histograms.classes).keys()];
    chooseClass(order[order.indexOf(state.label) + by]);
  };
  $('previous').addEventListener('click', () => step(-1));
  $('next').addEventListener('click', () => step(1));
  // A chosen text makes room for typing another.
  $('class').addEventListener('focus', (e) => e.target.select());
  $('class').addEventListener('change', (e) => {
    const label = findClass(e.target.value);
    if (label >= 0) { chooseClass(label); return; }
    $('class-error').textContent = `There is no class “${e.target.value}”. Type its number or its name.`;
    $('class-error').hidden = false;
  });

  others();
  options();
  await show();
  $('status').remove();
})().catch((error) => {
  const status = document.getElementById('status');
  if (status) {
    status.className = 'missing';
    status.textContent = `The report cannot be shown: ${error.message}`;
  }
  throw error;
});
