// The slider of the landing page (book/_ext/share_slider.py): moves the sentence and the cards.
(() => {
  "use strict";

  const steps = JSON.parse(document.getElementById("share-by-k").textContent);
  const slider = document.getElementById("share-k");
  const box = slider.closest(".share-slider");
  const sentence = document.querySelector(".share-sentence");

  const fill = (card, slots) => {
    for (const place of card.querySelectorAll("[data-slot]")) {
      place.textContent = slots[place.dataset.slot];
    }
    card.querySelector(".share-scale").style.cssText = slots.style;
  };

  const show = () => {
    const step = steps[Number(slider.value)];
    sentence.textContent = step.sentence;
    box.querySelector("output").textContent = step.k;
    slider.setAttribute("aria-valuetext", step.k);
    for (const [task, slots] of Object.entries(step.tasks)) {
      fill(document.querySelector(`.share-card[data-task="${task}"]`), slots);
    }
  };

  slider.addEventListener("input", show);
  box.hidden = false;
  show(); // a browser may have kept the slider's position
})();
