// Every dialect through the official Node SDK, against the deployment at BASE_URL: pictures, edits and chat, plain and streamed.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { before, test } from "node:test";
import OpenAI from "openai";

const base = process.env.BASE_URL;
const apiKey = process.env.API_KEY || readFileSync(process.env.API_KEY_FILE, "utf8").trim();
const client = new OpenAI({ baseURL: `${base}/v1`, apiKey, maxRetries: 0 });
const prompt = "一只可爱的熊猫";
const MODELS = ["gpt-image-1", "dall-e-3", "relay-url", "Qwen/Qwen-Image", "nai-diffusion-4-5-full", "grok-imagine-1.0"];
const EDIT_MODELS = ["gpt-image-1", "nai-diffusion-4-5-full"];

before(() => assert.ok(base, "BASE_URL is needed"));

const fetched = async (url) => Buffer.from(await (await fetch(url)).arrayBuffer());

/** The bytes are a picture with the provider's number inside. */
function check(bytes) {
  assert.match(bytes.toString("latin1"), /sim-picture-\d{8}/, "the provider's mark");
  return bytes;
}

async function collect(stream) {
  const events = [];
  for await (const event of stream) events.push(event);
  return events;
}

async function picture() {
  const made = await client.images.generate({ model: "gpt-image-1", prompt, response_format: "b64_json" });
  return OpenAI.toFile(Buffer.from(made.data[0].b64_json, "base64"), "a.png", { type: "image/png" });
}

for (const model of MODELS) {
  test(`images.generate: ${model}`, async () => {
    for (const response_format of ["url", "b64_json"]) {
      const { data: [item] } = await client.images.generate({ model, prompt, response_format });
      assert.notEqual(item.url === undefined, item.b64_json === undefined);
      check(item.url ? await fetched(item.url) : Buffer.from(item.b64_json, "base64"));
    }
  });

  test(`images.generate, streamed: ${model}`, async () => {
    const events = await collect(await client.images.generate({ model, prompt, stream: true }));
    assert.deepEqual(events.map((e) => e.type), ["image_generation.completed"]);
    assert.ok(check(Buffer.from(events[0].b64_json, "base64")).equals(await fetched(events[0].url)));
  });

  test(`chat.completions.create: ${model}`, async () => {
    const messages = [{ role: "user", content: prompt }];
    const plain = await client.chat.completions.create({ model, messages });
    const chunks = await collect(await client.chat.completions.create({ model, messages, stream: true }));
    for (const text of [plain.choices[0].message.content,
      chunks.map((c) => c.choices[0]?.delta.content ?? "").join("")]) {
      const urls = [...text.matchAll(/!\[image\]\(([^)]+)\)/g)];
      assert.equal(urls.length, 1);
      check(await fetched(urls[0][1]));
    }
  });
}

for (const model of EDIT_MODELS) {
  test(`images.edit, plain and streamed: ${model}`, async () => {
    const plain = await client.images.edit({ model, prompt, image: await picture(), response_format: "url" });
    check(await fetched(plain.data[0].url));
    const events = await collect(await client.images.edit({ model, prompt, image: await picture(), stream: true }));
    assert.deepEqual(events.map((e) => e.type), ["image_edit.completed"]);
    assert.ok(check(Buffer.from(events[0].b64_json, "base64")).equals(await fetched(events[0].url)));
  });
}
