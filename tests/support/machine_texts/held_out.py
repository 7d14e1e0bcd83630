"""Kinds of machine texts that only measure."""

from collections.abc import Callable
from random import Random

from support.machine_texts.lines import digits, hex_digits, lines, moment, pick_lines

__all__ = ["byte_counts", "counts", "csv_rows", "dates", "logs", "references", "slices", "tables", "versions"]


def dates(r: Random) -> str:
    """Dates and times as forms, files and schedules write them."""
    layouts = (
        "%d/%m/%Y %H:%M",
        "%m/%d/%Y %I:%M:%S %p",
        "%Y-%m-%d %H:%M:%S.%f",
        "%Y-%m-%dT%H:%M:%SZ",
        "%Y%m%d %H%M%S",
        "%Y%m%dT%H%M%S",
        "%d.%m.%Y %H:%M",
        "%d-%m-%y",
        "%Y.%m.%d",
        "%Y/%m/%d %H.%M",
        "%a, %d %b %Y %H:%M:%S +0200",
        "%d%m%Y",
        "%Y-%j",
        "%d %m %Y",
        "%Y-%m-%dT%H:%M:%S.%f+01:00",
    )
    layout = r.choice(layouts)
    return pick_lines(
        r,
        lambda: moment(r).strftime(layout),
        lambda: f"{moment(r).strftime(layout)} - {moment(r).strftime(layout)}",
        lambda: f"Opened {moment(r).strftime(layout)}, closed {moment(r).strftime(layout)}.",
        lambda: f"{moment(r).day}/{moment(r).month}/{moment(r).year} {moment(r).hour}:{moment(r).minute:02}",
    )


def byte_counts(r: Random) -> str:
    """Sizes of files, memory and traffic, as tools print them."""
    return pick_lines(
        r,
        lambda: (
            f"-rw-r--r-- 1 root root {r.randint(0, 10**11):12} {moment(r):%b %e %H:%M} part-{r.randint(0, 99):05}.bin"
        ),
        lambda: f"{r.randint(0, 10**10)}\t./data/shard{r.randint(0, 99)}",
        lambda: (
            f"Mem: {r.randint(10**7, 10**9)} {r.randint(10**6, 10**8)} {r.randint(10**6, 10**8)} {r.randint(0, 10**6)}"
        ),
        lambda: f"copied {r.randint(10**9, 10**12)} bytes ({r.uniform(1, 900):.1f} GB), {r.uniform(1, 99):.4f} s",
        lambda: f"eth0 RX packets {r.randint(0, 10**10)} bytes {r.randint(0, 10**12)} ({r.uniform(1, 999):.1f} GiB)",
        lambda: (
            f"/dev/sda{r.randint(1, 9)} {r.randint(10**8, 10**9)} {r.randint(10**7, 10**8)} {r.randint(0, 99)}% /mnt"
        ),
    )


def versions(r: Random) -> str:
    """Versions of packages, drivers and browsers, in three and in four parts."""

    def parts(count: int) -> str:
        return ".".join(str(r.randint(0, 40)) for _ in range(count))

    return pick_lines(
        r,
        lambda: f"package-{hex_digits(r, 4)}=={parts(r.randint(2, 4))}",
        lambda: f"Upgraded library from version {parts(4)} to {parts(4)}",
        lambda: f"v{parts(r.randint(3, 4))}",
        lambda: (
            f"Mozilla/5.0 (X11; Linux x86_64) Chrome/{r.randint(60, 130)}.0.{r.randint(0, 6999)}.{r.randint(0, 250)} Safari/537.36"
        ),
        lambda: f"Windows build 10.0.{r.randint(10000, 23000)}.{r.randint(1, 4000)}",
        lambda: f"libexample.so.{parts(4)}",
        lambda: f"example-{parts(4)}-py3-none-any.whl ({r.randint(10**4, 10**7)} bytes)",
        lambda: f"image registry/app:{parts(3)}-{moment(r):%Y%m%d}",
        lambda: f"firmware {r.randint(1, 9)}.{r.randint(0, 99):02}.{r.randint(0, 999):03}.{r.randint(0, 9999):04}",
    )


def logs(r: Random) -> str:
    """Log lines of a kernel, a web server, a JVM, a database and an RPC client."""
    return pick_lines(
        r,
        lambda: (
            f"[{r.uniform(0, 10**6):12.6f}] pcieport 0000:{hex_digits(r, 2)}:1c.0: device [8086:{hex_digits(r, 4)}] error {hex_digits(r, 8)}/{hex_digits(r, 8)}"
        ),
        lambda: (
            f'- - [{moment(r):%d/%b/%Y:%H:%M:%S +0000}] "GET /items/{r.randint(1, 10**9)} HTTP/1.1" {r.choice((200, 404, 500))} {r.randint(0, 10**7)}'
        ),
        lambda: (
            f"{moment(r):%Y-%m-%d %H:%M:%S},{r.randint(0, 999):03} INFO [worker-{r.randint(1, 64)}] offset={r.randint(0, 10**10)} lag={r.randint(0, 10**6)}"
        ),
        lambda: (
            f"{moment(r):%b %d %H:%M:%S} node{r.randint(1, 99)} cron[{r.randint(100, 65535)}]: job {r.randint(10**6, 10**10)} done in {r.randint(1, 10**7)} us"
        ),
        lambda: f"rpc call {r.randint(10**8, 10**10)} took {r.randint(1, 10**6)} ns, retry {r.randint(0, 5)}",
        lambda: (
            f"GC({r.randint(0, 9999)}) Pause Young {r.randint(1, 4000)}M->{r.randint(1, 4000)}M(8192M) {r.uniform(0, 99):.3f}ms"
        ),
        lambda: (
            f"LSN {hex_digits(r, 1).upper()}/{hex_digits(r, 8).upper()} xid {r.randint(10**6, 10**9)} timeline {r.randint(1, 9)}"
        ),
        lambda: (
            f"I{moment(r):%m%d %H:%M:%S}.{digits(r, 6)} {r.randint(1, 65535):7} server.cc:{r.randint(1, 999)}] request_id={r.randint(10**9, 10**10)}"
        ),
    )


def slices(r: Random) -> str:
    """Code in which colons and double colons separate names and numbers."""
    a, b, c = r.randint(0, 20), r.randint(20, 99), r.randint(2, 9)
    return pick_lines(
        r,
        lambda: r.choice(
            ("l[::2]", "l[::-1]", f"x[{a}::{c}]", f"x[::{c}, {a}:{b}]", f"a[{a}:{b}:{c}]", f"s[:{b}:{c}]")
        ),
        lambda: f"y = x[{a}:{b}, ::{c}]  # every {c}th column",
        lambda: f"std::array<int, {b}> v{a}; ::{r.choice(('bind', 'face', 'add', 'dead'))}(v{a});",
        lambda: f"use crate::{r.choice(('cafe', 'feed', 'abc'))}::{r.choice(('b', 'f00d', 'Node'))};",
        lambda: f"SELECT '{a}'::int, now()::date, x::{r.choice(('text', 'bytea', 'float8'))};",
        lambda: f"{r.choice('abcdef')}::{r.choice('abcdef')} -> [{r.choice('abcdef')}]; Foo::BAR::{hex_digits(r, 4)}",
        lambda: f"for i in range({a}, {b * 10**6}, {c}): print(data[i::{c}][:{b}])",
        lambda: f"Class::{r.choice(('add', 'decade', 'facade'))} line {a}:{b}:{c}",
        lambda: f"1::2::{a} = {b}:{c}:{a}",
    )


def csv_rows(r: Random) -> str:
    """Rows of exports: keys, counts, dates and amounts between commas, semicolons or tabs."""
    separator = r.choice((",", ";", "\t", ", ", "|"))
    makers: tuple[Callable[[], str], ...] = (
        lambda: str(r.randint(1, 10**10)),
        lambda: f"{r.uniform(0, 10**6):.2f}",
        lambda: f"{moment(r):%Y-%m-%d}",
        lambda: r.choice(("open", "closed", "EUR", "kg", "true", "")),
        lambda: f"{moment(r):%d/%m/%Y %H:%M}",
        lambda: f"SKU-{digits(r, 6)}",
        lambda: str(r.randint(0, 9999)),
        lambda: digits(r, 13),
        lambda: f"{r.random():.4f}",
    )
    columns = r.sample(makers, r.randint(3, 7))
    return lines(r, lambda: separator.join(column() for column in columns), 2, 10)


def tables(r: Random) -> str:
    """Measurements in columns of blanks, tabs or pipes, with units in the head."""
    bar = r.choice(("  ", "\t", " | ", " "))
    digits, scale = r.randint(0, 4), 10 ** r.randint(1, 7)
    head = bar.join(r.sample(("t", "V (mV)", "I (mA)", "p (hPa)", "n", "T (K)", "count"), 4))
    rows = lines(r, lambda: bar.join(f"{r.uniform(0, scale):.{digits}f}" for _ in range(4)), 3, 10)
    return f"{head}\n{rows}"


def references(r: Random) -> str:
    """Numbers of books, papers, laws and goods."""
    return pick_lines(
        r,
        lambda: f"ISBN 978-{r.randint(0, 9)}-{digits(r, 3)}-{digits(r, 5)}-{r.randint(0, 9)}",
        lambda: f"doi:10.{r.randint(1000, 9999)}/j.x.{r.randint(2000, 2025)}.{r.randint(1, 12):02}.{digits(r, 3)}",
        lambda: f"arXiv:{r.randint(7, 25):02}{r.randint(1, 12):02}.{digits(r, 5)}v{r.randint(1, 4)}",
        lambda: (
            f"ISSN {digits(r, 4)}-{digits(r, 4)}, vol. {r.randint(1, 400)}({r.randint(1, 12)}), pp. {r.randint(100, 999)}-{r.randint(1000, 9999)}"
        ),
        lambda: f"PMID: {r.randint(10**7, 4 * 10**7)}; PMC{r.randint(10**6, 10**7)}",
        lambda: f"CAS {r.randint(50, 9999999)}-{digits(r, 2)}-{r.randint(0, 9)}, EAN {digits(r, 13)}",
        lambda: f"US Patent {r.randint(4, 11)},{digits(r, 3)},{digits(r, 3)} B2, RFC {r.randint(1, 9500)}",
    )


def counts(r: Random) -> str:
    """Numbers in prose: populations, distances, years, scores and ratios."""
    return pick_lines(
        r,
        lambda: (
            f"The population grew from {r.randint(10**6, 10**8):,} to {r.randint(10**8, 10**10):,} in {r.randint(1900, 2024)}."
        ),
        lambda: (
            f"Between {r.randint(1800, 1900)}-{r.randint(1901, 2020)} the river moved {r.randint(1, 999)} {r.randint(100, 999)} m."
        ),
        lambda: f"It is {r.randint(10**8, 10**10)} km away, or {r.uniform(1, 10**5):.3f} light years.",
        lambda: f"Divide {r.randint(10**6, 10**10)} by {r.randint(2, 99)} and round it to {r.randint(1, 6)} digits.",
        lambda: (
            f"Sets: {r.randint(0, 7)}-{r.randint(0, 7)} {r.randint(0, 7)}-{r.randint(0, 7)} {r.randint(0, 7)}-{r.randint(0, 7)}; points {r.randint(100, 999)}-{r.randint(100, 999)}"
        ),
        lambda: " ".join(str(r.randint(1, 10 ** r.randint(1, 5))) for _ in range(r.randint(4, 20))),
        lambda: (
            f"budget {r.randint(1, 999)} {r.randint(0, 999):03} {r.randint(0, 999):03} EUR for {r.randint(2015, 2030)}/{r.randint(16, 31)}"
        ),
        lambda: f"sequence {', '.join(str(r.randint(10**5, 10**7)) for _ in range(r.randint(3, 8)))}",
    )
