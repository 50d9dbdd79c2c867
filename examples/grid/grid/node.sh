# One browser of the grid: tells the hub where it is, and serves WebDriver.
set -e
python3 /grid/hub.py --register "$HUB" "$ME"
exec chromedriver --port="$PORT" --allowed-ips= --allowed-origins='*'
