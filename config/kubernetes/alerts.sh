#!/bin/bash
# alerts.sh - writes alerts.yaml, the Prometheus operator's form of prometheus/alerts.yml.
set -eu
cd "$(dirname "$0")"
{
    cat <<'END'
# alerts.yaml - prometheus/alerts.yml for the Prometheus operator. Written by alerts.sh: change that file, not this.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: gateway
  namespace: gateway
  labels: { app.kubernetes.io/name: gateway }
spec:
END
    sed -n '/^groups:/,$p' ../../prometheus/alerts.yml | sed 's/^\(.\)/  \1/'
} >alerts.yaml
