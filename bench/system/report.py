"""The table of what measure.py found, beside the bars that were set for it."""


def _mb_per_s(size, seconds):
    return size / 1e6 / seconds


def rows(found):
    """(what, measured, at least, aim, reached) for everything that was measured."""
    m = found["medians"]
    size = found["size"]
    result = []

    def row(what, text, least="", aim="", ok_least=None, ok_aim=None):
        reached = "" if ok_least is None else "aim" if ok_aim else "at least" if ok_least else "no"
        result.append((what, text, least, aim, reached))

    if "put_share_of_bound" in m:
        share = m["put_share_of_bound"]
        row("put, share of the bound of %.2f s" % m["put_bound_s"], "%.0f %%" % (100 * share), "50 %", "85 %",
            share >= 0.5, share >= 0.85)
    if "put_s" in m and "restic_backup_s" in m:
        ratio = m["put_s"] / m["restic_backup_s"]
        row("put against restic backup, %.2f s" % m["restic_backup_s"], "%.2f x its time" % ratio, "1.5 x", "faster",
            ratio <= 1.5, ratio < 1)
    if "put_s" in m:
        speed = _mb_per_s(size, m["put_s"])
        row("put, %.2f s" % m["put_s"], "%.0f MB/s" % speed, "84 MB/s", "168 MB/s", speed >= 84, speed >= 168)
    if "get_share_of_bound" in m:
        row("get --remote, share of the bound of %.2f s" % m["get_bound_s"], "%.0f %%" % (100 * m["get_share_of_bound"]))
    if "get_s" in m and "restic_restore_s" in m:
        ratio = m["get_s"] / m["restic_restore_s"]
        row("get --remote against restic restore, %.2f s" % m["restic_restore_s"], "%.2f x its time" % ratio, "1 x", "0.5 x",
            ratio <= 1, ratio <= 0.5)
    if "get_s" in m:
        speed = _mb_per_s(size, m["get_s"])
        row("get --remote, %.2f s" % m["get_s"], "%.0f MB/s" % speed, "144 MB/s", "288 MB/s", speed >= 144, speed >= 288)
    if "small_puts_per_s" in m:
        rate = m["small_puts_per_s"]
        row("put --wait safe of 16 KiB, one connection", "%.0f /s (p50 %.1f, p99 %.1f ms)" % (
            rate, m["small_put_p50_ms"], m["small_put_p99_ms"]), "100 /s", "500 /s", rate >= 100, rate >= 500)
        rate = m["small_puts_commands_per_s"]
        row("the same, a command each", "%.0f /s" % rate, "100 /s", "500 /s", rate >= 100, rate >= 500)
    if "small_puts_one_command_per_s" in m:
        rate = m["small_puts_one_command_per_s"]
        row("the same, all named to one command", "%.0f /s" % rate, "100 /s", "500 /s", rate >= 100, rate >= 500)
    for name, what in (("cat", "cat of 64 KiB at random, one connection"), ("cat_command", "the same, a command each")):
        if name + "_p99_ms" in m:
            p99 = m[name + "_p99_ms"]
            row(what, "p50 %.1f, p99 %.1f ms" % (m[name + "_p50_ms"], p99), "", "p99 20 ms", True, p99 <= 20)
            if p99 > 20:
                result[-1] = result[-1][:4] + ("no",)
    if "idle_rss_mib" in m:
        rss = m["idle_rss_mib"]
        row("resident memory, idle server", "%.0f MiB (%.0f anonymous)" % (rss, m["idle_anon_mib"]), "40 MiB", "20 MiB",
            rss <= 40, rss <= 20)
    if "put_owner_rss_mib" in m:
        rss = m["put_owner_rss_mib"]
        row("resident memory, owner during the large put", "%.0f MiB (%.0f anonymous)" % (rss, m["put_owner_anon_mib"]),
            "300 MiB", "150 MiB", rss <= 300, rss <= 150)
        rss = m["put_holder_rss_mib"]
        row("resident memory, fullest holder meanwhile", "%.0f MiB (%.0f anonymous)" % (rss, m["put_holder_anon_mib"]),
            "300 MiB", "150 MiB", rss <= 300, rss <= 150)
    return result


def table(found):
    """Markdown."""
    m = found["medians"]
    made = found["machine"]
    lines = ["%s, %d cores, %.0f GiB, Linux %s; load %.2f at the start; %d servers; medians of %d runs" % (
        made["processor"], made["cores"], made["memory_gib"], made["kernel"], made["load_before"], found["servers"],
        found["runs"]), "`%s`" % found["command"], "",
        "| what | measured | at least | aim | reached |", "|---|---|---|---|---|"]
    lines += ["| %s |" % " | ".join(row) for row in rows(found)]
    costs = {name[5:-9]: value for name, value in m.items() if name.startswith("cost_")}
    if costs:
        lines += ["", "Processor seconds per GB: " + ", ".join("%s %.2f" % one for one in costs.items()) + ".",
                  "Bound of the put: %.2f s; the disk alone would need %.2f s." % (m["put_bound_s"], m["put_disk_s"])]
    for what in ("put", "get"):
        if what + "_owner_cpu_s" in m:
            lines.append("Processor seconds of the %s: owner %.2f, holders together %.2f." % (
                what, m[what + "_owner_cpu_s"], m[what + "_holders_cpu_s"]))
    for what in ("backup", "restore"):
        if "restic_%s_cpu_s" % what in m:
            lines.append("Processor seconds of restic %s: %.2f." % (what, m["restic_%s_cpu_s" % what]))
    for what in ("small_put", "cat"):
        if what + "_owner_cpu_ms" in m:
            lines.append("Processor milliseconds of one %s: owner %.2f, holders together %.2f." % (
                what.replace("_", " "), m[what + "_owner_cpu_ms"], m[what + "_holders_cpu_ms"]))
    lines += found["notes"]
    return "\n".join(lines)
