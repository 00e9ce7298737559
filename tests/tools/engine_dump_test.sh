#!/bin/sh
# engine_dump_test.sh PROGRAM GOLDEN: what engine-dump prints has the keys, tokens and layout of the
# reference answer, the same likeliest tokens, and it refuses bad arguments with a sentence.
set -eu
program=$1 golden=$2
python3 - "$program" "$golden" <<'PYTHON'
import json, subprocess, sys
program, golden = sys.argv[1:]
folder = golden + '/smolvlm/'

def run(*arguments):
    return subprocess.run([program, *arguments], capture_output=True, text=True)

for name in 'one-picture', 'two-pictures', 'unicode':
    want = json.load(open(folder + name + '.json'))
    pictures = [golden + '/pictures/' + p for p in want['pictures']]
    done = run(folder + 'text.gguf', folder + 'mmproj.gguf', '3', want['prompt'], *pictures)
    assert done.returncode == 0, done.stderr
    got = json.loads(done.stdout)
    assert list(got) == list(want), list(got)
    for key in 'prompt', 'pictures', 'n_past', 'n_vocab':
        assert got[key] == want[key], key
    assert len(got['chunks']) == len(want['chunks'])
    for a, b in zip(got['chunks'], want['chunks']):
        assert list(a) == list(b), list(a)
        for key in 'text', 'image', 'nx', 'ny', 'n_pos', 'dim':
            assert a.get(key) == b.get(key), (key, a, b)
        for key in 'head', 'tail':
            assert all(abs(x - y) < 2e-3 for x, y in zip(a.get(key, []), b.get(key, []))), key
    assert [len(x) for x in (got['logits'], got['greedy'])] == [20, 3]
    near = dict(map(tuple, want['logits']))
    assert all(abs(near.get(i, v) - v) < 0.1 for i, v in got['logits'])
    assert [len(s['top']) for s in got['greedy']] == [5, 5, 5]
    assert got['greedy'][0]['id'] == got['logits'][0][0]

text_only = run(folder + 'text.gguf', '-', '0', 'Hello')
assert text_only.returncode == 0 and json.loads(text_only.stdout)['greedy'] == []
for arguments, said in (([], 'usage'),
                        ([folder + 'text.gguf', '-', 'x', 'Hello'], 'STEPS'),
                        ([folder + 'absent.gguf', '-', '1', 'Hello'], 'absent.gguf'),
                        ([folder + 'text.gguf', '-', '1', ''], 'empty'),
                        ([folder + 'text.gguf', '-', '1', 'Hello', folder + 'absent.png'], 'absent.png'),
                        ([folder + 'text.gguf', '-', '1', '<image>', golden + '/pictures/p0.png'], 'text only')):
    done = run(*arguments)
    assert done.returncode != 0 and said in done.stderr and done.stdout == '', (arguments, done)
PYTHON
