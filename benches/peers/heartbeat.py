#!/usr/bin/env python3
"""The heartbeat that many a Raspberry Pi runs today: psutil, requests, a POST every 5 s from a thread made for it.

usage: heartbeat.py URL
"""

import socket
import sys
import threading
import time

import psutil
import requests

INTERVAL = 5.0
TIMEOUT = 2.0


def temperature():
    try:
        with open("/sys/class/thermal/thermal_zone0/temp", encoding="ascii") as file:
            return int(file.read()) / 1000
    except OSError:
        return None


def sample():
    memory = psutil.virtual_memory()
    disk = psutil.disk_usage("/")
    return {
        "hostname": socket.gethostname(),
        "timestamp": time.time(),
        "uptime_s": time.time() - psutil.boot_time(),
        "cpu": psutil.cpu_percent(),
        "load": psutil.getloadavg(),
        "mem": memory.percent,
        "swap": psutil.swap_memory().percent,
        "temp": temperature(),
        "disk": {"percent": disk.percent, "used": disk.used, "total": disk.total, "free": disk.free},
        "ip_addresses": [
            {"interface": name, "ip": address.address}
            for name, addresses in psutil.net_if_addrs().items()
            for address in addresses
            if address.family in (socket.AF_INET, socket.AF_INET6)
        ],
        "traffic": {
            name: {"rx_bytes": counters.bytes_recv, "tx_bytes": counters.bytes_sent}
            for name, counters in psutil.net_io_counters(pernic=True).items()
        },
    }


def send(url, heartbeat):
    try:
        requests.post(url, json=heartbeat, timeout=TIMEOUT)
    except requests.RequestException as error:
        print(f"heartbeat failed: {error}", file=sys.stderr)


def main():
    url = sys.argv[1]
    psutil.cpu_percent()  # The first call has nothing to compare with.
    while True:
        threading.Thread(target=send, args=(url, sample()), daemon=True).start()
        time.sleep(INTERVAL)


if __name__ == "__main__":
    main()
