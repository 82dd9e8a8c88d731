import { pageColours, pictureStyle } from './theme.ts';

/** Style of the page and of the picture in it. */
export const PAGE_STYLE = `${pictureStyle()}
:root{${pageColours('light')}}
@media (prefers-color-scheme:dark){:root:not([data-theme="light"]){${pageColours('dark')}}}
:root[data-theme="dark"]{${pageColours('dark')}}
body{margin:0;background:var(--page);color:var(--text);font:14px/1.45 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
header{display:flex;gap:16px;align-items:center;padding:10px 24px;background:var(--card);border-bottom:1px solid var(--line);position:sticky;top:0;z-index:1}
header span{color:var(--faint);flex:1}
button{font:inherit;color:inherit;background:none;border:1px solid var(--line);border-radius:6px;padding:2px 10px;cursor:pointer}
main{display:flex;align-items:flex-start}
#picture{flex:1;min-width:0;overflow-x:auto}
#picture svg{display:block}
#details{width:340px;box-sizing:border-box;padding:18px 22px;position:sticky;top:48px;max-height:calc(100vh - 48px);overflow:auto;background:var(--card);border-left:1px solid var(--line);min-height:calc(100vh - 48px);overflow-wrap:anywhere}
#details h1{font-size:16px;margin:0 0 8px}
#details h2{font-size:13px;margin:16px 0 4px;color:var(--faint);font-weight:600}
#details ol,#details ul{margin:0;padding-left:20px}
#details .verdict{font-weight:600}
g[data-bdf],[data-from]{cursor:pointer}
[data-bdf].picked rect:first-of-type{stroke:var(--mark);stroke-width:3}
[data-from].pinned rect{stroke:var(--mark);stroke-width:3}
@media (max-width:1000px){main{display:block}#details{position:static;width:auto;min-height:0;border-left:0;border-top:1px solid var(--line)}}`;
