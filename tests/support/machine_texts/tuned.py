"""Kinds of machine texts that detectors may be tuned on."""

from random import Random

from support.machine_texts.lines import digits, hex_digits, moment, pick_lines

__all__ = ["bad_ibans", "coordinates", "decimals", "epochs", "hashes", "literals", "metrics", "orders"]


def epochs(r: Random) -> str:
    """Unix times in seconds, milliseconds, microseconds and fractions, alone or in fields."""
    return pick_lines(
        r,
        lambda: f"{r.randint(10**9, 2 * 10**9)}",
        lambda: f"{r.randint(1, 99)} {r.randint(10**9, 2 * 10**9)}.{r.randint(0, 99):02}",
        lambda: f"ts={r.randint(10**12, 2 * 10**12)} value={r.randint(0, 999)}",
        lambda: f'{{"created": {r.randint(10**9, 2 * 10**9)}, "expires_at": {r.randint(10**9, 2 * 10**9)}}}',
        lambda: f"[{r.randint(10**15, 2 * 10**15)}] tick {r.randint(1, 10**6)}",
        lambda: f"started {r.uniform(10**9, 2 * 10**9):.6f} ended {r.uniform(10**9, 2 * 10**9):.6f}",
    )


def decimals(r: Random) -> str:
    """Amounts, ratios and floats of any size, with the separators of several countries."""
    return pick_lines(
        r,
        lambda: f"{r.uniform(-(10**10), 10**10):.{r.randint(1, 6)}f}",
        lambda: f"{r.randint(1, 20)} {r.uniform(10**8, 10**10):.2f}",
        lambda: f"total {r.uniform(10**3, 10**9):,.2f}",
        lambda: f"{r.uniform(10**6, 10**9):,.2f}".replace(",", " ").replace(".", ","),
        lambda: f"{r.uniform(10**6, 10**9):,.2f}".replace(",", "'"),
        lambda: f"x = {r.uniform(0, 1):.12f}, y = {r.gauss(0, 10):.10f}",
        lambda: f"{r.random() * 10 ** r.randint(-12, 12):.8e}",
        lambda: f"mean {r.gauss(500, 99)!r} sd {r.random()!r}",
    )


def orders(r: Random) -> str:
    """Invoice, order, ticket, tracking and serial numbers."""
    return pick_lines(
        r,
        lambda: f"Invoice {r.randint(10**7, 10**10)} was booked twice.",
        lambda: f"INV-{r.randint(2015, 2026)}-{digits(r, r.randint(4, 8))}",
        lambda: f"Order no. {digits(r, 3)}-{digits(r, 7)}-{digits(r, 7)} has not arrived.",
        lambda: f"PO {45 * 10**8 + r.randint(0, 10**8)} / item {r.randint(1, 90) * 10:05}",
        lambda: f"Ticket #{r.randint(10**6, 10**9)} is open, see case {digits(r, 8)}.",
        lambda: f"Tracking: 1Z{hex_digits(r, 6).upper()}{digits(r, 10)}",
        lambda: f"Rechnung Nr. {r.randint(10**6, 10**10)} vom {moment(r):%d.%m.%Y}",
        lambda: f"S/N {digits(r, 4)}-{digits(r, 4)}-{digits(r, 3)}, batch {digits(r, 6)}",
        lambda: f"order {digits(r, 10)}, order {digits(r, 11)}",
    )


def hashes(r: Random) -> str:
    """Digests, commits, UUIDs and hexadecimal dumps."""
    return pick_lines(
        r,
        lambda: hex_digits(r, r.choice((7, 8, 32, 40, 64))),
        lambda: f"commit {hex_digits(r, 40)} (parent {hex_digits(r, 10)})",
        lambda: f"{hex_digits(r, 8)}-{hex_digits(r, 4)}-4{hex_digits(r, 3)}-a{hex_digits(r, 3)}-{hex_digits(r, 12)}",
        lambda: f"sha256:{hex_digits(r, 64)}  model.bin",
        lambda: f"{16 * r.randint(0, 9999):08x}: " + " ".join(hex_digits(r, 4) for _ in range(8)),
        lambda: f"{16 * r.randint(0, 9999):08x}  " + " ".join(hex_digits(r, 2) for _ in range(16)),
        lambda: f"00-{hex_digits(r, 32)}-{hex_digits(r, 16)}-01",
        lambda: f'ETag: W/"{hex_digits(r, 6)}-{hex_digits(r, 11)}"',
    )


def coordinates(r: Random) -> str:
    """Places on a map or a screen: decimal degrees, sexagesimal, projected metres, pixels."""
    return pick_lines(
        r,
        lambda: f"{r.uniform(-90, 90):.6f}, {r.uniform(-180, 180):.6f}",
        lambda: f"POINT({r.uniform(-180, 180):.5f} {r.uniform(-90, 90):.5f})",
        lambda: f'{{"type": "Point", "coordinates": [{r.uniform(-180, 180)!r}, {r.uniform(-90, 90)!r}]}}',
        lambda: (
            f"{r.randint(0, 89)}°{r.randint(0, 59):02}'{r.uniform(0, 59):04.1f}\"N {r.randint(0, 179)}°{r.randint(0, 59):02}'{r.uniform(0, 59):04.1f}\"E"
        ),
        lambda: f"32U {r.randint(10**5, 10**6)} {r.randint(10**6, 10**7)}",
        lambda: f"lat={r.uniform(-90, 90):.7f} lon={r.uniform(-180, 180):.7f} alt={r.uniform(0, 4000):.1f}",
        lambda: (
            f'<path d="M{r.randint(0, 999)} {r.randint(0, 999)}L{r.randint(0, 999)}.{digits(r, 3)} {r.randint(0, 999)}.{digits(r, 3)}-{digits(r, 3)}-{digits(r, 3)}z"/>'
        ),
        lambda: f"chr{r.randint(1, 22)}:{r.randint(10**6, 10**8)}-{r.randint(10**8, 2 * 10**8)}",
    )


def literals(r: Random) -> str:
    """Numeric constants and arrays of several languages."""
    return pick_lines(
        r,
        lambda: f"MAX = {r.choice((2147483647, 4294967295, 9223372036854775807, 1000000007, 6364136223846793005))}",
        lambda: "int t[] = {" + ", ".join(str(r.randint(0, 2**32)) for _ in range(r.randint(2, 8))) + "};",
        lambda: (
            f"const seed = 0x{hex_digits(r, 8)}; mask = 0b{r.getrandbits(16):016b}; n = {r.randint(10**6, 10**9):_}"
        ),
        lambda: f"np.array([[{r.random():.8f}, {r.random():.8f}], [{r.random():.8f}, {r.random():.8f}]])",
        lambda: f'{{"id": {r.randint(10**8, 10**11)}, "parent": {r.randint(10**8, 10**11)}, "n": {r.randint(0, 99)}}}',
        lambda: f"random.seed({r.randint(0, 2**32)}); assert f({r.randint(0, 10**10)}) == {r.randint(0, 10**10)}",
        lambda: (
            f"{r.randint(10**4, 10**6)} + {r.randint(10**4, 10**6)} - {r.randint(100, 999)} = {r.randint(10**5, 10**7)}"
        ),
        lambda: f"({r.randint(100, 999)}) {r.randint(100, 999)} - {r.randint(1000, 9999)} * {r.randint(2, 9)}",
    )


def bad_ibans(r: Random) -> str:
    """Codes that look like account, tax or card numbers and are none: prefixes without check digits."""
    return pick_lines(
        r,
        lambda: f"XX00 {digits(r, 4)} {digits(r, 4)} {digits(r, 4)} {digits(r, 2)}",
        lambda: f"part QZ{digits(r, 2)}-{digits(r, 4)}-{digits(r, 4)}-{digits(r, 4)}",
        lambda: f"key 0000 0000 {digits(r, 4)} {digits(r, 4)} {digits(r, 4)} {digits(r, 4)} {digits(r, 4)}",
        lambda: f"model no. ZZ{digits(r, 20)}",
        lambda: f"contract {digits(r, 4)} {digits(r, 4)} {digits(r, 2)}",
        lambda: f"sample XY {digits(r, 2)} {digits(r, 5)} {digits(r, 5)}",
    )


def metrics(r: Random) -> str:
    """Counters and gauges in the exposition formats of monitoring systems."""
    return pick_lines(
        r,
        lambda: (
            f'http_requests_total{{code="{r.choice((200, 404, 500))}",shard="{r.randint(0, 99)}"}} {r.randint(0, 10**10)}'
        ),
        lambda: f"node_memory_free_bytes {r.uniform(10**8, 10**11):.8e} {r.randint(10**12, 2 * 10**12)}",
        lambda: f"servers.web{r.randint(1, 20)}.load {r.uniform(0, 9):.2f} {r.randint(10**9, 2 * 10**9)}",
        lambda: (
            f"cpu,host=n{r.randint(1, 20)} user={r.uniform(0, 99):.2f},ctx={r.randint(0, 10**9)}i {r.randint(10**18, 2 * 10**18)}"
        ),
        lambda: f"api.calls:{r.randint(1, 10**6)}|c|@0.{r.randint(1, 9)}",
        lambda: (
            f"p50={r.randint(1, 999)} p99={r.randint(10**3, 10**7)} max={r.randint(10**7, 10**10)} n={r.randint(1, 10**7)}"
        ),
    )
