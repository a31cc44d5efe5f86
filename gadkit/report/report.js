
"use strict";
(() => {
  const all = (place, what) => Array.from(place.querySelectorAll(what));
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;

  const place = document.querySelector(".samples");
  if (place) {
    const stage = place.querySelector(".stage"), large = stage.querySelector("video");
    const button = stage.querySelector("button"), slider = stage.querySelector("input");
    const output = stage.querySelector("output"), small = all(place, ".strip video");
    let playing = !still;

    const play = () => {
      for (const video of [large, ...small]) {
        if (playing) video.play().catch(() => {}); else video.pause();
      }
      button.textContent = playing ? "Pause" : "Play";
    };
    const show = (index) => {
      const time = large.currentTime, chosen = small[index];
      small.forEach((video, number) => video.closest("figure").classList.toggle("shown", number === index));
      slider.value = index;
      output.textContent = Number(chosen.dataset.step).toLocaleString("en");
      slider.setAttribute("aria-valuetext", "after step " + output.textContent);
      large.src = chosen.src;
      large.setAttribute("aria-label", chosen.getAttribute("aria-label"));
      large.addEventListener("loadedmetadata", () => {
        large.classList.toggle("small", large.videoWidth < 300);
        if (time < large.duration) large.currentTime = time;
      }, { once: true });
      if (playing) large.play().catch(() => {});
    };

    small.forEach((video, index) => {
      video.controls = false;
      video.addEventListener("click", () => show(index));
      const caption = video.nextElementSibling, choose = document.createElement("button");
      choose.type = "button";
      choose.textContent = caption.textContent;
      choose.addEventListener("click", () => show(index));
      caption.replaceChildren(choose);
    });
    slider.addEventListener("input", () => show(Number(slider.value)));
    button.addEventListener("click", () => { playing = !playing; play(); });
    place.classList.add("lively");
    stage.hidden = false;
    slider.closest(".controls").hidden = false;
    if (small.length < 2) {
      slider.hidden = true;
      place.querySelector(".strip").hidden = true;
    }
    show(small.length - 1);
    play();
  }

  const numbers = (text) => text.split(",").map(Number);
  const brief = (value) => {
    const size = Math.abs(value);
    if (value === 0) return "0";
    const text = size >= 1e6 || size < 1e-4 ? value.toExponential(3) : Number(value.toPrecision(4)).toLocaleString("en",
      { maximumSignificantDigits: 4 });
    return text.replace(/\.?0*e\+?/, "e").replace(/-/g, "−");
  };
  const nearest = (steps, step) => {
    let low = 0, high = steps.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (steps[middle] < step) low = middle + 1; else high = middle;
    }
    return low > 0 && step - steps[low - 1] < steps[low] - step ? low - 1 : low;
  };

  const charts = all(document, ".chart").map((figure) => ({
    low: Number(figure.dataset.low),
    high: Number(figure.dataset.high),
    head: figure.querySelector(".at"),
    figure,
    cursors: all(figure, ".plot").map((plot) => {
      const cursor = document.createElement("div");
      cursor.className = "cursor";
      cursor.hidden = true;
      plot.append(cursor);
      return cursor;
    }),
    rows: all(figure, "tbody tr").map((row) => {
      const cells = all(row, "td");
      return { row, cells, last: cells.map((cell) => cell.textContent), points: null };
    }),
  }));

  const read = (line) => line.points ??= {
    steps: numbers(line.row.dataset.x),
    values: numbers(line.row.dataset.y),
    from: line.row.dataset.from ? numbers(line.row.dataset.from) : null,
    to: line.row.dataset.to ? numbers(line.row.dataset.to) : null,
  };
  const point = (step) => {
    for (const chart of charts) {
      const first = read(chart.rows[0]).steps, there = first[nearest(first, step)];
      for (const cursor of chart.cursors) {
        cursor.hidden = false;
        cursor.style.left = 100 * (there - chart.low) / (chart.high - chart.low) + "%";
      }
      chart.head.textContent = "at " + there.toLocaleString("en");
      for (const line of chart.rows) {
        const { steps, values, from, to } = read(line), at = nearest(steps, there);
        const elsewhere = Math.abs(steps[at] - there) > 0.01 * (chart.high - chart.low);
        line.cells[0].textContent = brief(values[at]) + (elsewhere ? " at " + steps[at].toLocaleString("en") : "");
        if (from) {
          line.cells[1].textContent = brief(from[at]);
          line.cells[2].textContent = brief(to[at]);
        }
      }
    }
  };
  const leave = () => {
    for (const chart of charts) {
      for (const cursor of chart.cursors) cursor.hidden = true;
      chart.head.textContent = "last";
      for (const line of chart.rows) line.cells.forEach((cell, index) => { cell.textContent = line.last[index]; });
    }
  };

  for (const chart of charts) {
    let step = chart.high;
    const said = document.createElement("p");
    said.className = "unseen";
    said.setAttribute("aria-live", "polite");
    chart.figure.append(said);
    const steps = () => Array.from(new Set(chart.rows.flatMap((line) => read(line).steps))).sort((a, b) => a - b);
    for (const plot of all(chart.figure, ".plot")) {
      plot.addEventListener("pointermove", (event) => {
        const box = plot.getBoundingClientRect(), share = (event.clientX - box.left) / box.width;
        step = chart.low + Math.min(1, Math.max(0, share)) * (chart.high - chart.low);
        point(step);
      });
      plot.addEventListener("pointerleave", leave);
      plot.addEventListener("blur", leave);
      plot.addEventListener("focus", () => { if (plot.matches(":focus-visible")) point(step); });
      plot.addEventListener("keydown", (event) => {
        const there = steps(), at = nearest(there, step);
        const next = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: there.length - 1 }[event.key];
        if (next === undefined) {
          if (event.key === "Escape") leave();
          return;
        }
        event.preventDefault();
        step = there[Math.min(there.length - 1, Math.max(0, next))];
        point(step);
        said.textContent = chart.head.textContent + ": " + chart.rows.map((line) =>
          line.row.querySelector("th").textContent + " " + line.cells[0].textContent).join(", ");
      });
    }
  }
})();
