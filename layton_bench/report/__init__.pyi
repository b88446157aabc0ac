from .build import build_report as build_report
