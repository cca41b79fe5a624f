// Calls each method that the platform's routes serve, in the forms that the package allows; prints what came of each.
const openwhisk = require('openwhisk')

const [apihost, key] = process.argv.slice(2)
const ow = openwhisk({ apihost, api_key: key })
const action = 'def main(args):\n  print("☃ & <b>")\n  return args'
const seen = {}

// The outcome under its name: what `pick` takes of the answer, or the error.
async function see (name, promise, pick) {
  try {
    const answer = await promise
    seen[name] = pick(answer)
    return answer
  } catch (error) {
    seen[name] = { status: error.statusCode, says: error.error && error.error.error }
  }
}

async function recorded (id) {
  for (let i = 0; i < 400; i++) {
    try { return await ow.activations.get(id) } catch (error) { if (error.statusCode !== 404) throw error }
  }
}

async function writeAndRead () {
  await see('create', ow.actions.create({
    name: 'one', action, kind: 'python:default', params: { a: 1 }, annotations: { d: 'x' }, limits: { timeout: 5000 }, version: '1.2'
  }), a => [a.version, a.exec.kind, a.parameters, a.limits.timeout, a.annotations.find(each => each.key === 'd').value])
  await see('again', ow.actions.create({ actionName: 'one', action, kind: 'python:3' }), a => a.version)
  await see('update', ow.actions.update({ name: 'one', annotations: { e: 2 } }), a => [a.version, a.annotations.length, a.parameters])
  await see('buffer', ow.actions.create({ name: 'two', action: Buffer.from('def main(a): return {"b": 2}'), kind: 'python:3' }), a => a.exec.binary)
  await see('object', ow.actions.create({ name: 'two', overwrite: true, action: { exec: { kind: 'python:3', code: action } } }), a => a.version)
  await see('get', ow.actions.get('one'), a => a.exec.code === action)
  await see('without code', ow.actions.get({ name: 'one', code: false }), a => Object.keys(a.exec).sort())
  await see('get both', ow.actions.get(['one', '/_/two']), all => all.map(a => a.name))
  await see('list', ow.actions.list({ limit: 1, skip: 1 }), all => all.map(a => a.name))
  await see('count', ow.actions.list({ count: true }), n => n)
}

async function call () {
  await see('invoke both', ow.actions.invoke(['one', { name: 'two' }]), all => all.map(a => a.activationId.length)) // never blocking
  await see('blocking', ow.actions.invoke({ name: 'two', blocking: true, params: { s: '☃' } }), a => a.response.result)
  await see('in its namespace', ow.actions.invoke({ name: 'one', namespace: 'guest', blocking: true, result: true }), result => result)
  const { activationId } = await ow.actions.invoke('two')
  const record = await recorded(activationId)
  await see('record', ow.activations.get({ activationId }), a => [a.name, a.response.status])
  await see('logs', ow.activations.logs({ activation: activationId }), a => a.logs.map(line => line.slice(31)))
  await see('result', ow.activations.result(activationId), a => [a.success, a.result])
  const range = { since: record.start, upto: record.start, docs: true }
  await see('activations', ow.activations.list({ name: 'two', ...range }), all => all.some(a => a.activationId === activationId && a.logs.length === 1))
  await see('activations count', ow.activations.list({ count: true, limit: 1 }), n => n.activations >= 1)
  await see('namespaces', ow.namespaces.list(), all => all)
}

async function refusals () {
  await see('bad name', ow.actions.get('a$b'), a => a)
  await see('no such package', ow.actions.get('pack/one'), a => a)
  await see('another namespace', ow.actions.invoke({ name: 'one', namespace: 'other' }), a => a)
  await see('bad page', ow.actions.list({ limit: 201 }), a => a)
  await see('no record', ow.activations.result('0'.repeat(32)), a => a)
  await see('wrong key', openwhisk({ apihost, api_key: 'x:y' }).namespaces.list(), a => a)
  await see('retried', openwhisk({ apihost, api_key: key, retry: { retries: 1, minTimeout: 1 } }).actions.get('nope'), a => a)
  await see('delete both', ow.actions.delete(['one', 'two']), all => all.map(a => a.name))
}

writeAndRead().then(call).then(refusals).then(() => console.log(JSON.stringify(seen)))
