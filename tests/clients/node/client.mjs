// Runs one step with the openai library for Node and prints its result as JSON: node client.mjs STEP URL KEY MODEL
import OpenAI from "openai";

const [step, baseURL, apiKey, model] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0, timeout: 60_000 });
const ask = { model, messages: [{ role: "user", content: "Count to five." }], max_tokens: 8, temperature: 0 };
const schema = {
  type: "object",
  properties: { stars: { type: "integer", minimum: 1, maximum: 5 } },
  required: ["stars"],
  additionalProperties: false,
};

const weather = {
  type: "function",
  function: {
    name: "weather",
    description: "Return the weather in a city.",
    parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
    parse: JSON.parse,
    function: ({ city }) => `4 degrees and rain in ${city}`,
  },
};

const steps = {
  async chat() {
    const { data: answer, response } = await client.chat.completions.create(ask).withResponse();
    const { content } = answer.choices[0].message;
    return { content, usage: answer.usage, requestId: response.headers.get("x-request-id") };
  },
  async stream() {
    let content = "";
    let usage = null;
    const stream = await client.chat.completions.create({
      ...ask,
      stream: true,
      stream_options: { include_usage: true },
    });
    for await (const chunk of stream) {
      content += chunk.choices[0]?.delta?.content ?? "";
      usage = chunk.usage ?? usage;
    }
    return { content, usage };
  },
  async structured() {
    const response_format = { type: "json_schema", json_schema: { name: "rating", strict: true, schema } };
    const answer = await client.chat.completions.parse({ ...ask, max_tokens: 40, response_format });
    return answer.choices[0].message.parsed ?? JSON.parse(answer.choices[0].message.content);
  },
  async agent(stream = false) {
    const messages = [{ role: "user", content: "What is the weather in Oslo?" }];
    const runner = client.chat.completions.runTools({ model, messages, tools: [weather], stream });
    return { content: await runner.finalContent() };
  },
  async agentStream() {
    return steps.agent(true);
  },
  async models() {
    const found = [];
    for await (const one of client.models.list()) found.push(one.id);
    return found;
  },
  async errors() {
    const raised = async (call) => {
      try {
        await call;
      } catch (error) {
        return [error.constructor.name, error.status, error.code, error.param];
      }
      return null;
    };
    const wrong = client.withOptions({ apiKey: "sk-wrong" });
    return [
      await raised(client.chat.completions.create({ ...ask, logit_bias: { 5: 1 } })),
      await raised(client.chat.completions.create({ ...ask, model: "gpt-9" })),
      await raised(wrong.chat.completions.create(ask)),
    ];
  },
};

console.log(JSON.stringify(await steps[step]()));
