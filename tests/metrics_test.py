#!/usr/bin/env python3
"""Figures for operators, checked with Prometheus' own tools against a real pool behind a gateway.

    metrics_test.py BIN_DIR SOURCE_DIR

The rules and their tests pass promtool; a scrape passes promtool; every metric that the dashboard or
a rule names is in the scrape; and a Prometheus with the configuration of deploy/ scrapes the gateway,
loads the rules and answers the expression of every panel."""

import base64
import ctypes
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse

WAIT_S = 60
BIN, SOURCE = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
DEMO = SOURCE / "deploy" / "demo"
PROMETHEUS = SOURCE / "deploy" / "prometheus"


def die_with_me():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def fail(text):
    sys.exit("metrics_test: " + text)


def wait_for(what, ready):
    end = time.monotonic() + WAIT_S
    while time.monotonic() < end:
        got = ready()
        if got:
            return got
        time.sleep(0.05)
    fail("waited in vain for " + what)


def promtool(*arguments, stdin=None):
    run = subprocess.run(["promtool", *map(str, arguments)], input=stdin, text=True, timeout=WAIT_S,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if run.returncode != 0:
        fail("promtool %s:\n%s" % (" ".join(map(str, arguments)), run.stdout))
    return run.stdout


def get(address, path, method="GET", body=None):
    connection = http.client.HTTPConnection(address, timeout=WAIT_S)
    headers = {"Content-Type": "application/json"} if body else {}
    connection.request(method, path, json.dumps(body) if body else None, headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


class Pool:
    """A broker, two workers with the demo model, and a gateway, in a directory of their own."""

    def __init__(self, folder):
        self.folder, self.programs = folder, []
        clients, workers = "ipc://%s/c" % folder, "ipc://%s/w" % folder
        self.environment = dict(os.environ, QUIRE_RUNTIME_DIR=folder, QUIRE_PACKS="",
                                QUIRE_CONFIG=os.path.join(folder, "none.ini"))
        open(self.environment["QUIRE_CONFIG"], "w").close()
        self.start("quire-broker", "--clients", clients, "--workers", workers)
        for name in ("w0", "w1"):
            self.start("quire-worker", "--name", name, "--broker", workers, "--threads", "1",
                       "--kv-memory", "64M", "--model", str(DEMO / "quire-demo.gguf"),
                       "--mmproj", str(DEMO / "quire-demo-mmproj.gguf"))
        self.start("quire-gateway", "--endpoint", clients, "--http", "127.0.0.1:0",
                   output="gateway.out")
        said = wait_for("the gateway's address", lambda: re.search(
            r"http://(\S+)\n", pathlib.Path(folder, "gateway.out").read_text()))
        self.address = said.group(1)
        wait_for("both workers", lambda: 'quire_pool_workers{state="up"} 2' in self.scrape())

    def start(self, program, *arguments, output="out"):
        with open(os.path.join(self.folder, output), "ab") as out, \
                open(os.path.join(self.folder, "log"), "ab") as log:
            self.programs.append(subprocess.Popen(
                [str(BIN / program), *arguments], env=self.environment, stdout=out, stderr=log,
                stdin=subprocess.DEVNULL, preexec_fn=die_with_me))

    def stop(self):
        for program in reversed(self.programs):
            program.kill()
            program.wait()

    def scrape(self):
        status, text = get(self.address, "/metrics")
        if status != 200:
            fail("/metrics: %d\n%s" % (status, text))
        return text

    def ask(self, text):
        picture = base64.b64encode((DEMO / "pictures" / "shapes.png").read_bytes()).decode()
        status, answer = get(self.address, "/v1/chat/completions", "POST", {
            "model": "quire-demo", "max_tokens": 12, "messages": [{"role": "user", "content": [
                {"type": "image_url",
                 "image_url": {"url": "data:image/png;base64," + picture}},
                {"type": "text", "text": text}]}]})
        if status != 200:
            fail("a question was answered with %d\n%s" % (status, answer))


def value(page, series):
    found = re.search("^" + re.escape(series) + " (.*)$", page, re.M)
    return float(found.group(1)) if found else None


def check_values(page):
    for series, wanted in {
            'quire_gateway_requests_total{dialect="openai-chat",outcome="done"}': 4,
            "quire_gateway_pictures_total": 4,
            "quire_gateway_first_token_seconds_count": 4,
            "quire_gateway_request_seconds_count": 4,
            "quire_pool_requests_total": 4,
            'quire_pool_requests_ended_total{outcome="done"}': 4,
            "quire_pool_broker_up": 1,
    }.items():
        if value(page, series) != wanted:
            fail("%s is %s and not %s" % (series, value(page, series), wanted))
    for who in ("gateway", "pool"):
        prompt, reused, computed = (value(page, "quire_%s_%s_positions_total" % (who, what))
                                    for what in ("prompt", "reused", "computed"))
        if not (prompt == reused + computed and reused > 0 and computed > 0):
            fail("%s: %s positions, %s reused, %s computed" % (who, prompt, reused, computed))


# ---- what the dashboard and the rules name ----

def panel_expressions(dashboard):
    """Every panel's expressions, and that panels stand beside and not on each other."""
    taken, numbers, found = set(), set(), []
    for panel in dashboard["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"])
                 for y in range(at["y"], at["y"] + at["h"])}
        if cells & taken or at["x"] + at["w"] > 24 or panel["id"] in numbers:
            fail("the panel \"%s\" lies on another one" % panel["title"])
        taken |= cells
        numbers.add(panel["id"])
        if panel["type"] != "row" and not panel["targets"]:
            fail("the panel \"%s\" shows nothing" % panel["title"])
        found += [target["expr"] for target in panel.get("targets", [])]
    return found


def rule_expressions(text):
    """The expressions of alerts.yml: on the line of their key, or folded below it."""
    found = []
    for match in re.finditer(r"^( *)expr: (.*)\n((?:\1 +.*\n)*)", text, re.M):
        found.append(match.group(3) if match.group(2).startswith(">") else match.group(2))
    return found


def names_in(expression):
    return re.findall(r"\b(?:quire|process)_[a-z0-9_]+", expression)


def check_names(page, expressions):
    series = set(re.findall(r"^([a-z_]+)", page, re.M))
    for expression in expressions:
        names = names_in(expression)
        if not names and "up{" not in expression:
            fail("no metric in " + expression)
        for name in names:
            if name not in series:
                fail("%s is in no scrape; it stands in %s" % (name, expression))


# ---- Prometheus itself ----

def query(address, expression):
    status, text = get(address, "/api/v1/query?" + urllib.parse.urlencode({"query": expression}))
    return status, json.loads(text) if text.startswith("{") else {"error": text}


def start_prometheus(folder):
    """On a port that is free; when somebody else was quicker to take it, on another one."""
    for attempt in range(5):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = "127.0.0.1:%d" % free.getsockname()[1]
        path = pathlib.Path(folder, "prometheus-%d.log" % attempt)
        with open(path, "wb") as log:
            program = subprocess.Popen(
                ["prometheus", "--config.file", os.path.join(folder, "prometheus.yml"),
                 "--storage.tsdb.path", os.path.join(folder, "data-%d" % attempt),
                 "--web.listen-address", address],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, preexec_fn=die_with_me)

        def listens():
            if program.poll() is not None:
                return "ended"
            try:
                return get(address, "/-/ready")[0] == 200
            except OSError:
                return False
        if wait_for("prometheus", listens) != "ended":
            return program, address
        if "address already in use" not in path.read_text():
            break
    fail("prometheus ended:\n" + path.read_text())


def run_prometheus(folder, gateway, panels, n_rules):
    """Scrapes the gateway with the configuration that people get, but every second."""
    config = (PROMETHEUS / "prometheus.yml").read_text()
    config = config.replace("127.0.0.1:8080", gateway).replace("_interval: 15s", "_interval: 1s")
    pathlib.Path(folder, "prometheus.yml").write_text(config)
    shutil.copy(PROMETHEUS / "alerts.yml", folder)
    program, address = start_prometheus(folder)
    try:
        def scraped():
            status, answer = query(address, "count_over_time(quire_pool_broker_up[1m]) > 2")
            return status == 200 and answer["data"]["result"]
        wait_for("three scrapes", scraped)
        rules = json.loads(get(address, "/api/v1/rules")[1])["data"]["groups"][0]["rules"]
        if len(rules) != n_rules or any(rule["lastError"] for rule in rules
                                        if rule["health"] == "err"):
            fail("the rules: %s" % rules)
        empty = []
        for expression in panels:
            plain = expression.replace("$instance", ".*").replace("$__rate_interval", "1m")
            status, answer = query(address, plain)
            if status != 200:
                fail("%s: %s" % (plain, answer["error"]))
            if not answer["data"]["result"]:
                empty.append(plain)
        return empty
    finally:
        program.kill()
        program.wait()


def main():
    alerts = (PROMETHEUS / "alerts.yml").read_text()
    dashboard = json.loads((SOURCE / "deploy" / "grafana" / "quire.json").read_text())
    panels, rules = panel_expressions(dashboard), rule_expressions(alerts)
    if len(rules) != alerts.count("- alert:") or len(panels) < 30:
        fail("read %d rules and %d panels' expressions" % (len(rules), len(panels)))
    with tempfile.TemporaryDirectory(prefix="quire-test-") as folder:
        promtool("check", "config", PROMETHEUS / "prometheus.yml")
        tests = (SOURCE / "tests" / "prometheus" / "alerts_test.yml").read_text()
        pathlib.Path(folder, "alerts_test.yml").write_text(
            tests.replace("ALERTS", str(PROMETHEUS / "alerts.yml")))
        promtool("test", "rules", os.path.join(folder, "alerts_test.yml"))
        pool = Pool(folder)
        try:
            for question in ("How many circles?", "How many circles?", "What colour is it?",
                             "How many circles?"):
                pool.ask(question)
            wait_for("the broker's figures", lambda: value(
                pool.scrape(), 'quire_pool_requests_ended_total{outcome="done"}') == 4)
            page = pool.scrape()
            said = promtool("check", "metrics", stdin=page)
            if said.strip():
                fail("promtool check metrics says\n" + said)
            check_values(page)
            check_names(page, panels + rules)
            empty = run_prometheus(folder, pool.address, panels, len(rules))
            if empty:
                fail("panels without anything to show:\n" + "\n".join(empty))
        except BaseException:
            sys.stderr.write(pathlib.Path(folder, "log").read_text()[-4000:])
            raise
        finally:
            pool.stop()
    print("%d panels' expressions and %d rules stand on %d lines of figures" %
          (len(panels), len(rules), page.count("\n")))


main()
