// Proves the policies of the base stack in both directions, by an evaluator that is not ours.
//
//   node prove-policies.mjs CALLS.jsonl
//
// CALLS.jsonl holds the policies that roles of the simulated AWS had, and every question of authorisation that their calls
// raised in the tests (internal/awssim/authz.go). Of these, every call as it was made must be allowed; every call changed in
// one way (another account, Region, name, VPC, role, tag ...) must be denied; and every action of every statement must be
// what allows some call, so that nothing can be left out.
import { readFileSync } from 'node:fs'
import { runSimulation } from '@cloud-copilot/iam-simulate'

const lines = readFileSync(process.argv[2], 'utf8').trim().split('\n').map((l) => JSON.parse(l))
const documents = new Map()
const names = new Map()
const calls = []
for (const l of lines) {
  if (l.policy) {
    documents.set(l.policy, l.document)
    names.set(l.policy, l.name)
  } else if (l.action) calls.push(l)
}

const accountOf = (arn) => arn.split(':')[4]

async function allowed(call, docs) {
  const resource = call.resource
  const context = { 'aws:PrincipalAccount': accountOf(call.role), 'aws:PrincipalArn': call.role, ...call.context }
  const r = await runSimulation({
    request: { principal: call.role, action: call.action, resource: { resource, accountId: accountOf(call.role) }, contextVariables: context },
    identityPolicies: docs.map((policy, i) => ({ name: `p${i}`, policy })), serviceControlPolicies: [], resourceControlPolicies: [],
  }, {})
  if (r.resultType === 'error') throw new Error(`${call.action} on ${resource}: ${JSON.stringify(r.errors)}`)
  if (r.resultType === 'wildcard') throw new Error(`${call.action} on ${resource}: a recorded resource must not hold a wildcard`)
  return r.overallResult === 'Allowed'
}

// What may stand in the place of a name, by the kind of resource: always something that is not ours.
function otherName(resource) {
  const [head, ...rest] = splitARN(resource)
  const tail = rest.join(':')
  const out = []
  const put = (t) => out.push(`${head}${t}`)
  const kinds = [
    [/^table\/[^/]+(.*)$/, (m) => `table/other${m[1]}`],
    [/^stack\/[^/]+\/(.*)$/, (m) => `stack/other-set-main/${m[1]}`],
    [/^stack\/([^/]+)-set-[^/]+\/(.*)$/, (m) => `stack/${m[1]}/${m[2]}`], // our own base stack
    [/^function:.*$/, () => 'function:other'],
    [/^schedule\/[^/]+\/(.*)$/, (m) => `schedule/other/${m[1]}`],
    [/^role\/.*$/, () => 'role/Administrator'],
    [/^task-definition\/[^:]+:(.*)$/, (m) => `task-definition/other:${m[1]}`],
    [/^log-group:[^:]+:(.*)$/, (m) => `log-group:/aws/lambda/other:${m[1]}`],
    [/^(vpc|subnet|security-group|route-table)\/.*$/, (m) => `${m[1]}/${{ vpc: 'vpc', subnet: 'subnet', 'security-group': 'sg', 'route-table': 'rtb' }[m[1]]}-0fffffffffffffff0`],
  ]
  for (const [pattern, make] of kinds) {
    const m = tail.match(pattern)
    if (m) put(make(m))
  }
  if (resource.includes(':sqs:')) put('other-queue')
  if (resource.includes(':codecommit:')) put('other-repository')
  if (resource.includes(':ecr:')) put('repository/other')
  if (resource.includes(':secretsmanager:')) put('secret:other-AbCdEf')
  if (resource.includes(':s3:')) {
    const [bucket, ...key] = tail.split('/')
    put(['other-bucket', ...key].join('/'))
    if (key.length) put(`${bucket}/other/${key.at(-1)}`)
  }
  return out
}

function splitARN(arn) {
  const parts = arn.split(':')
  return [parts.slice(0, 5).join(':') + ':', ...parts.slice(5)]
}

// The keys that a role's statements ask for with this action.
function askedKeys(docs, action) {
  const keys = new Set()
  for (const d of docs)
    for (const s of d.Statement)
      if ([s.Action].flat().includes(action)) for (const op of Object.values(s.Condition ?? {})) for (const k of Object.keys(op)) keys.add(k)
  return keys
}

// ListTasks is granted on * within a cluster, whose ARN holds account and Region: AWS's own examples do it so.
const byClusterAlone = ['ecs:ListTasks']

function* mutations(call, docs) {
  if (call.resource !== '*' && !byClusterAlone.includes(call.action)) {
    const parts = call.resource.split(':')
    if (parts[4]) yield ['another account', { ...call, resource: [...parts.slice(0, 4), '999999999999', ...parts.slice(5)].join(':') }]
    if (parts[3]) yield ['another Region', { ...call, resource: [...parts.slice(0, 3), parts[3] === 'eu-west-3' ? 'eu-west-1' : 'eu-west-3', ...parts.slice(4)].join(':') }]
    for (const resource of otherName(call.resource)) yield ['another resource', { ...call, resource }]
  }
  for (const key of askedKeys(docs, call.action)) {
    const value = call.context?.[key]
    if (value === undefined) continue
    const without = { ...call.context }
    delete without[key]
    yield [`without ${key}`, { ...call, context: without }]
    const other = String(value).startsWith('arn:') ? splitARN(value)[0] + (key === 'ecs:cluster' ? 'cluster/other' : 'role/Administrator') : 'other'
    yield [`another ${key}`, { ...call, context: { ...call.context, [key]: other } }]
  }
}

const failures = []
const fail = (text) => failures.push(text)
const brief = (c) => `${c.role.split('/').pop()} ${c.action} on ${c.resource}`

// Allowed as made.
for (const c of calls) {
  const docs = c.policies.map((p) => documents.get(p))
  if (!(await allowed(c, docs))) fail(`denied as it was made: ${brief(c)} ${JSON.stringify(c.context ?? {})}`)
}

// Denied when changed. A mutation may hit upon another call that was made (a second cluster, say): such twins are left out.
const made = new Set(calls.map((c) => `${c.policies} ${c.action} ${c.resource} ${JSON.stringify(c.context ?? {})}`))
let mutated = 0
const unchangeable = new Set()
for (const c of calls) {
  const docs = c.policies.map((p) => documents.get(p))
  let any = false
  for (const [what, m] of mutations(c, docs)) {
    if (made.has(`${m.policies} ${m.action} ${m.resource} ${JSON.stringify(m.context ?? {})}`)) continue
    any = true
    mutated++
    if (await allowed(m, docs)) fail(`allowed although it is changed (${what}): ${brief(m)} ${JSON.stringify(m.context ?? {})}`)
  }
  if (!any) unchangeable.add(c.action)
}

// One side may not do the other's work: a call that only one role ever made, made by another.
const makers = new Map()
const sideOf = (role) => role.split('/').pop().replace(/^.*-(launcher|reaper|cloudformation|scheduler|mirror-execution|mirror|webhook)-.*$/, '$1')
for (const c of calls) makers.set(c.action, (makers.get(c.action) ?? new Set()).add(sideOf(c.role)))
let crossed = 0
for (const c of calls) {
  if (makers.get(c.action).size > 1) continue
  for (const [hash, doc] of documents) {
    const side = sideOf(`role/${names.get(hash)}`)
    if (side === sideOf(c.role)) continue
    crossed++
    if (await allowed({ ...c, role: c.role.replace(/[^/]+$/, names.get(hash)) }, [doc])) fail(`${side} may do what only ${sideOf(c.role)} has to: ${c.action}`)
  }
}

// Nothing superfluous: without an action of a statement some call is denied.
const needed = new Map() // side, Sid and action: whether some policy needs it
for (const [hash, doc] of documents) {
  const own = calls.filter((c) => c.policies.includes(hash))
  for (const [i, s] of doc.Statement.entries()) {
    for (const action of [s.Action].flat()) {
      const key = `${sideOf(`role/${names.get(hash)}`)} ${s.Sid} ${action}`
      if (needed.get(key)) continue
      const rest = [s.Action].flat().filter((a) => a !== action)
      const without = { ...doc, Statement: doc.Statement.flatMap((x, j) => (j !== i ? [x] : rest.length ? [{ ...x, Action: rest }] : [])) }
      let breaks = false
      for (const c of own) {
        if (c.action !== action) continue
        if (!(await allowed(c, [without]))) {
          breaks = true
          break
        }
      }
      needed.set(key, breaks)
    }
  }
}
for (const [key, breaks] of needed) if (!breaks) fail(`superfluous, no call of the tests needs it: ${key}`)

console.log(`policies: ${documents.size} documents; ${calls.length} distinct calls allowed; ${mutated} changed ones and ${crossed} of another role denied; ${needed.size} actions each needed`)
console.log(`policies: not changeable, because AWS knows no resource for them: ${[...unchangeable].sort().join(', ')}`)
if (calls.length < 30 || mutated < 100) fail(`only ${calls.length} calls and ${mutated} changed ones were seen: the recording is not what it should be`)
if (failures.length) {
  console.error([...new Set(failures)].slice(0, 40).join('\n'))
  process.exit(1)
}
